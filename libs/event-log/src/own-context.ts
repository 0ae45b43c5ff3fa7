import { randomUUID } from 'node:crypto';
import type { CommandContext } from '#events';

/** The context of what this software does to the log itself; `via`: `start`, `cli`. */
export const ownContext = (via: string): CommandContext => {
  const commandId = randomUUID();
  return {
    commandId,
    commandHash: '',
    actor: { subject: 'consumer-clients', roles: [], via },
    correlationId: commandId,
    causationId: commandId,
  };
};
