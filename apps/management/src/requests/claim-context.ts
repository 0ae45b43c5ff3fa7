import { randomUUID } from 'node:crypto';
import type { CommandContext } from '#events';

/**
 * The context of a claim that prepares a command on another stream. Gives each claim a command id of its own, so if a
 * request is repeated, its claim is decided anew. Only the event of the command itself has the request's command id.
 */
export const claimContext = (context: CommandContext): CommandContext => ({
  ...context,
  commandId: randomUUID(),
  causationId: context.commandId,
});
