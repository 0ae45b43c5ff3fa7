import { Body, Controller, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { EventlessCommandRoute } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { forbidCaching } from '../requests/response-headers.js';
import { MintDraft, MintDraftBody, MINTED_FORMS, type MintedDraft } from './mint-draft.js';

@ApiTags('Credential drafts')
@Controller('v1/credential-drafts')
export class CredentialDraftsController {
  constructor(private readonly commands: CommandBus) {}

  @Post()
  @EventlessCommandRoute({
    scopes: ['clients:write'],
    operationId: 'mintCredentialDraft',
    summary: 'Mint a credential to show while the dialog is open; it is attached by create or rotate',
    answers: [{ status: 201, description: 'The minted credential', forms: MINTED_FORMS, headers: ['Cache-Control'] }],
    refusals: ['CLIENT_NOT_FOUND', 'CLIENT_REVOKED', 'WRONG_AUTHENTICATION_TYPE', 'QUARANTINED', 'BUSY'],
  })
  async mint(
    @Body() body: MintDraftBody,
    @CallerParameter() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<MintedDraft> {
    const minted = await this.commands.execute(new MintDraft(body, caller));
    forbidCaching(reply);
    return minted;
  }
}
