import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema, OmitType } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { type ClientId, consumerClient, Failure, type WorkspaceId } from '#domain';
import type { Basis } from '#event-log';
import type { Revision } from '#events';
import { validationFailed } from '#platform';
import { clientAsOf, type LoginReason } from '#replay';
import { AssignmentView, ClientView, CredentialView, EXAMPLE_CLIENT } from '../clients/client.js';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';
import { POSITION } from '../requests/position.js';

const EXAMPLE_POSITION = '00000000000000004711';

/** Names the past that is asked for, and the moment at which it is judged. */
export class BasisParameters {
  @ApiPropertyOptional({
    format: 'date-time',
    example: '2026-11-24T12:00:00Z',
    description: 'As of this moment. Beside `revision` or `position`: only what depends on the clock is judged then',
  })
  @IsOptional()
  @IsDateTime()
  at?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, example: 1, description: 'After this event of the client' })
  @IsOptional()
  @Matches(/^\d{1,15}$/, { message: 'revision must be a whole number from 0' })
  revision?: string;

  @ApiPropertyOptional({
    pattern: POSITION.source,
    example: EXAMPLE_POSITION,
    description: 'A place in the whole log: 20 digits, as after the @ of an `X-Consistency-Token`',
  })
  @IsOptional()
  @Matches(POSITION, { message: 'position must have 20 digits' })
  position?: string;
}

/** Returns the past that the parameters name; `undefined` stands for the present. */
export function basisOf({ at, revision, position }: BasisParameters): Basis | undefined {
  if (position !== undefined && revision !== undefined) {
    throw validationFailed({ field: 'position', message: 'give only one of revision and position' });
  }
  if (position !== undefined) return { by: 'position', position };
  if (revision !== undefined) return { by: 'revision', revision: BigInt(revision) };
  return at === undefined ? undefined : { by: 'time', at: instantOf(at) };
}

@ApiSchema({ name: 'Basis' })
export class BasisView {
  @ApiProperty({ enum: ['time', 'revision', 'position'] })
  by!: Basis['by'];

  @ApiProperty({
    format: 'date-time',
    example: '2026-11-24T12:00:00.000Z',
    description: 'The moment at which overlaps, expiries and static tokens were judged',
  })
  at!: string;

  @ApiProperty({ type: 'integer', minimum: 0, example: 1, description: 'The last event of the client in the answer' })
  revision!: number;

  @ApiProperty({ example: EXAMPLE_POSITION, description: 'Of that event, or as asked for' })
  position!: string;

  @ApiProperty({
    oneOf: [{ type: 'integer', minimum: 0 }, { type: 'null' }],
    example: 41,
    description: 'The index of that event in the Merkle tree of the log; null while the tree lags behind the log',
  })
  leafIndex!: number | null;
}

@ApiSchema({ name: 'LoginAnswer' })
export class LoginAnswerView {
  @ApiProperty({
    oneOf: [{ type: 'boolean' }, { type: 'null' }],
    description: 'Whether a login with a right secret would have been answered with a token. null: nobody can tell',
  })
  yes!: boolean | null;

  @ApiProperty({ enum: ['OK', 'REVOKED', 'EXPIRED', 'NOT_ASSIGNED', 'ENDED', 'QUARANTINED', 'UNREADABLE'] })
  reason!: LoginReason;
}

@ApiSchema({ name: 'StaticTokenAsOf' })
export class StaticTokenView {
  @ApiProperty({ description: 'Its claim `jti`', format: 'uuid' })
  tokenId!: string;

  @ApiPropertyOptional({
    example: 'acme-weather',
    description: 'Absent if it was good at every endpoint of the client',
  })
  subscriptionId?: string;

  @ApiProperty({ format: 'date-time' })
  issuedAt!: string;

  @ApiProperty({ format: 'date-time' })
  expiresAt!: string;
}

@ApiSchema({ name: 'CredentialAsOf' })
export class CredentialStateView extends OmitType(CredentialView, ['lastUsedAt']) {
  @ApiProperty({ type: LoginAnswerView })
  wouldLogIn!: LoginAnswerView;

  @ApiProperty({ type: [StaticTokenView], description: 'The static tokens of this generation that were good' })
  staticTokens!: readonly StaticTokenView[];
}

@ApiSchema({ name: 'AssignmentAsOf' })
export class AssignmentStateView extends AssignmentView {
  @ApiProperty({
    enum: ['LIVE', 'ENDED', 'UNREGISTERED', 'UNREADABLE'],
    description:
      'Of the subscription. UNREGISTERED only by time, if clocks of processes differed; UNREADABLE if its history is ' +
      'damaged',
  })
  status!: 'LIVE' | 'ENDED' | 'UNREGISTERED' | 'UNREADABLE';

  @ApiPropertyOptional({ format: 'date-time' })
  endedAt?: string;

  @ApiProperty({ type: LoginAnswerView, description: 'At the endpoint of the subscription' })
  wouldLogIn!: LoginAnswerView;
}

@ApiSchema({ name: 'ClientAsOf' })
export class ClientIdentityView extends OmitType(ClientView, [
  'credentials',
  'subscriptions',
  'lastUsedAt',
  'quarantine',
]) {}

/** A client as it was. This form never contains a secret or a verifier. */
@ApiSchema({ name: 'ClientState' })
export class ClientStateView {
  @ApiProperty({ type: BasisView })
  basis!: BasisView;

  @ApiProperty({ type: ClientIdentityView })
  client!: ClientIdentityView;

  @ApiProperty({
    type: [CredentialStateView],
    description: 'The newest (also after its expiry) and at most one in an overlap; none when revoked',
  })
  credentials!: readonly CredentialStateView[];

  @ApiProperty({ type: [AssignmentStateView] })
  subscriptions!: readonly AssignmentStateView[];

  @ApiProperty({ type: LoginAnswerView, description: 'At no particular endpoint' })
  wouldLogIn!: LoginAnswerView;
}

const { credentials, subscriptions, ...EXAMPLE_IDENTITY } = EXAMPLE_CLIENT;
const OK: LoginAnswerView = { yes: true, reason: 'OK' };

/** The state of a client, for the examples of the OpenAPI document. */
export const EXAMPLE_CLIENT_STATE: ClientStateView = {
  basis: { by: 'time', at: '2026-11-24T12:00:00.000Z', revision: 1, position: EXAMPLE_POSITION, leafIndex: 41 },
  client: EXAMPLE_IDENTITY,
  credentials: credentials.map((credential) => ({ ...credential, wouldLogIn: OK, staticTokens: [] })),
  subscriptions: subscriptions.map((assignment) => ({ ...assignment, status: 'LIVE', wouldLogIn: OK })),
  wouldLogIn: OK,
};

/** The state of the same client after its revocation. */
export const EXAMPLE_REVOKED_CLIENT_STATE: ClientStateView = {
  basis: { by: 'revision', at: '2026-11-30T16:00:00.000Z', revision: 2, position: EXAMPLE_POSITION, leafIndex: 41 },
  client: {
    ...EXAMPLE_IDENTITY,
    ...{ status: 'REVOKED', revokedAt: '2026-11-30T16:00:00.000Z', revocationReason: 'The importer was retired' },
    revision: 2,
  },
  ...{ credentials: [], subscriptions: [] },
  wouldLogIn: { yes: false, reason: 'REVOKED' },
};

/** Asks for a client of the workspace as it was. A client of another workspace counts as not found. */
export class GetClientState extends Query<ClientStateView> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly clientId: ClientId,
    readonly parameters: BasisParameters,
  ) {
    super();
  }
}

@QueryHandler(GetClientState)
export class GetClientStateHandler implements IQueryHandler<GetClientState> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, clientId, parameters }: GetClientState): Promise<ClientStateView> {
    const { book, clock } = this.dependencies;
    const basis = basisOf(parameters);
    const judgedAt = parameters.at === undefined ? undefined : instantOf(parameters.at);
    const question = { workspaceId, clientId, basis, judgedAt, now: clock().toISOString() };
    const state = await clientAsOf(book, question);
    const leafIndex = await this.leafIndexOf(clientId, BigInt(state.basis.revision));
    return { ...state, basis: { ...state.basis, leafIndex } };
  }

  /** Returns the index of an event in the tree. Returns `null` while the stored tree is missing, or lacks the event. */
  private async leafIndexOf(clientId: ClientId, revision: Revision): Promise<number | null> {
    const { book, tree } = this.dependencies;
    const [event] = await book.log.readStream(consumerClient.stream(clientId), { from: revision, limit: 1 });
    try {
      return (event && (await tree.reader.leafIndexOf(event))) ?? null;
    } catch (error) {
      if (error instanceof Failure && error.kind === 'unavailable') return null;
      throw error;
    }
  }
}
