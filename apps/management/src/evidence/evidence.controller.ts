import { Controller, Get, Param, Query, Res } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { ClientId } from '#domain';
import { EVIDENCE_MEDIA_TYPE, evidenceJson } from '#transparency';
import { answerEnded } from '../requests/answer-ended.js';
import { AuditRoute, form } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { CLIENT_ID, clientIdParameter } from '../requests/path-parameters.js';
import { EvidenceParameters, EvidenceView, EXAMPLE_EVIDENCE, GetEvidence } from './get-evidence.js';

/** Evidence that its reader can verify without the service. */
@ApiTags('Clients')
@Controller('v1/clients')
export class EvidenceController {
  constructor(private readonly queries: QueryBus) {}

  @Get(':clientId/evidence')
  @AuditRoute({
    scopes: ['audit:read'],
    operationId: 'getClientEvidence',
    summary: "A bundle that proves a client's history offline",
    description:
      'The events of the client as they were hashed, the proof of each that it is in the tree of the last signed head, ' +
      'that head, and the signed statement about the end of the stream. `docs/evidence.md` specifies it, and ' +
      '`consumer-clients verify` verifies it. Events that no head covers yet are refused with 409: force a head by ' +
      '`POST /v1/log/heads`, or wait.',
    answers: [
      {
        status: 200,
        description: 'The bundle',
        forms: [form(EvidenceView, { bundle: EXAMPLE_EVIDENCE })],
        mediaType: EVIDENCE_MEDIA_TYPE,
        headers: ['Cache-Control'],
      },
    ],
    refusals: [
      ...(['CLIENT_NOT_FOUND', 'NO_TREE_HEAD', 'NOT_YET_IN_HEAD', 'EVIDENCE_TOO_LARGE'] as const),
      ...(['UPGRADE_UNFINISHED', 'CONTENTION', 'LOG_SEALED', 'BUSY'] as const),
    ],
    path: [CLIENT_ID],
  })
  async evidence(
    @Param('clientId', clientIdParameter) clientId: ClientId,
    @Query() { since }: EvidenceParameters,
    @CallerParameter() { workspaceId }: Caller,
    @Res() reply: FastifyReply,
  ): Promise<FastifyReply> {
    const size = since === undefined ? undefined : Number(since);
    const files = await this.queries.execute(new GetEvidence(workspaceId, clientId, size, answerEnded(reply)));
    return reply.type(EVIDENCE_MEDIA_TYPE).header('cache-control', 'no-store').send(evidenceJson(files));
  }
}
