import { Body, Controller, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ManagementRoute } from '../requests/api-documentation.js';
import { CallerParameter } from '../requests/command-request.js';
import type { Caller } from '../requests/management-guard.js';
import { forbidCaching } from '../requests/response-headers.js';
import { MintDraft, MintDraftBody, MintedDraft } from './mint-draft.js';

@ApiTags('Credential drafts')
@Controller('v1/credential-drafts')
export class CredentialDraftsController {
  constructor(private readonly commands: CommandBus) {}

  @Post()
  @ManagementRoute('clients:write')
  @ApiOperation({ summary: 'Mint a credential to show while the dialog is open; it is attached by create or rotate' })
  @ApiCreatedResponse({ type: MintedDraft })
  mint(
    @Body() body: MintDraftBody,
    @CallerParameter() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<MintedDraft> {
    forbidCaching(reply);
    return this.commands.execute(new MintDraft(body, caller));
  }
}
