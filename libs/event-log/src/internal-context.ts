import { randomUUID } from 'node:crypto';
import type { WorkspaceId } from '#domain';
import type { CommandContext } from '#events';

export interface InternalContextOptions extends Partial<Omit<CommandContext, 'actor' | 'workspaceId'>> {
  /** The way by which the command came in (such as `cli` or `login`): see `Actor.via`. */
  readonly via: string;
  /** Who sends the command (default: `consumer-clients`, this software itself). */
  readonly subject?: string;
  readonly workspaceId?: WorkspaceId | undefined;
}

/**
 * Makes the context of a command that was not sent by a management request.
 *
 * 1. Without a `commandId`, the command gets a new id.
 * 2. Without a `correlationId`, the command belongs to no other request or command: its own id is its `correlationId`.
 * 3. Without a `causationId`, the command was caused by the request or command whose id is the `correlationId`.
 */
export function internalContext({
  via,
  subject = 'consumer-clients',
  workspaceId,
  commandId = randomUUID(),
  commandHash = '',
  correlationId = commandId,
  causationId = correlationId,
}: InternalContextOptions): CommandContext {
  return {
    ...{ commandId, commandHash, correlationId, causationId },
    actor: { subject, roles: [], via },
    ...(workspaceId !== undefined && { workspaceId }),
  };
}
