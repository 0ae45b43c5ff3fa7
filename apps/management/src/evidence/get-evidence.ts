import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { type ClientId, clientNotFound, consumerClient, type WorkspaceId } from '#domain';
import { policyText, streamEvidence } from '#tree-heads';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { AnswersBusy } from '../requests/answers-busy.js';

/** A bundle of more events would be tens of megabytes. */
const MAX_EVENTS = 10_000;

/** Number of bundles that this process makes at once. */
const MAX_BUNDLES = 4;

export class EvidenceParameters {
  @ApiPropertyOptional({
    type: 'integer',
    minimum: 0,
    example: 41,
    description: 'The size of a tree head that you hold: the bundle then proves that its own head extends it',
  })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'since must be a number of leaves' })
  since?: string;
}

/** The JSON form of a bundle of evidence. */
@ApiSchema({ name: 'Evidence' })
export class EvidenceView {
  @ApiProperty({ enum: ['consumer-clients/evidence@v1'] })
  format!: string;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string' },
    description: 'The content of each file by its name: text, or base64 where the name ends with `.leaf`',
  })
  files!: Readonly<Record<string, string>>;
}

export const EXAMPLE_EVIDENCE: EvidenceView = {
  format: 'consumer-clients/evidence@v1',
  files: {
    checkpoint:
      'hub.example/0195d3a1\n42\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n— hub.example/0195d3a1 Az3grl…\n',
    'events/000.json': '{"data":{"authenticationType":"API_KEY","clientId":"cc_0123456789abcdefghijkl",…}',
    'events/000.leaf': 'BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=',
    'events/000.tlog-proof': 'c2sp.org/tlog-proof@v1\nindex 17\n…',
    'statement.note': 'consumer-clients/statement@v1\nconsumerClient-cc_0123456789abcdefghijkl\n0\n…\n42\nlive\n\n…',
    MANIFEST: '…  checkpoint\n…',
  },
};

/**
 * Asks for the files of the evidence about a client. `ended` aborts when the caller has them or has gone. A client of
 * another workspace counts as not found.
 */
export class GetEvidence extends Query<ReadonlyMap<string, Uint8Array>> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly clientId: ClientId,
    readonly since: number | undefined,
    readonly ended: AbortSignal,
  ) {
    super();
  }
}

@QueryHandler(GetEvidence)
export class GetEvidenceHandler implements IQueryHandler<GetEvidence> {
  private bundles = 0;

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  /** Throws `AnswersBusy`. */
  async execute(query: GetEvidence): Promise<ReadonlyMap<string, Uint8Array>> {
    if (this.bundles >= MAX_BUNDLES) throw new AnswersBusy('Other evidence is being put together; try again', 1);
    this.bundles += 1;
    try {
      return await this.evidence(query);
    } finally {
      this.bundles -= 1;
    }
  }

  private async evidence({ workspaceId, clientId, since, ended }: GetEvidence) {
    const { book, tree, clock } = this.dependencies;
    const { reader, signer } = tree;
    const at = clock().toISOString();
    const files = await streamEvidence(
      { log: book.log, reader, ring: signer.ring },
      {
        ...{ stream: consumerClient.stream(clientId), at, maxEvents: MAX_EVENTS, signal: ended },
        ...(since !== undefined && { since }),
        isVisible: ({ data }) => data.workspaceId === workspaceId,
        policy: (keys, origin) => policyText(keys, origin, at),
      },
    );
    if (!files) throw clientNotFound();
    return files;
  }
}
