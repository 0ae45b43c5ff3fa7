import { randomUUID } from 'node:crypto';
import { type CommandContext, seal, upcast } from '#events';
import { RevisionConflict } from './errors.js';
import type { EventLog } from './port.js';

const STREAM = 'log';

/** The id that the log was given when it was first opened: checkpoints and consistency tokens carry it. */
export async function identifyLog(log: EventLog, now: () => Date): Promise<string> {
  const known = await readLogId(log);
  if (known !== undefined) return known;
  const logId = randomUUID();
  const createdAt = now().toISOString();
  const events = seal(STREAM, undefined, [{ type: 'LogCreated', data: { logId, createdAt } }], firstStart(), createdAt);
  try {
    await log.append(STREAM, 'none', events);
    return logId;
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    return identifyLog(log, now);
  }
}

/** The log's id as it stands; `undefined` for a log that was never opened. */
export async function readLogId(log: EventLog): Promise<string | undefined> {
  const [first] = await log.readStream(STREAM, { limit: 1, consistency: 'strong' });
  if (!first) return undefined;
  const event = upcast(first);
  if (event.type !== 'LogCreated') throw new Error(`Stream ${STREAM} begins with ${event.type}`);
  return event.data.logId;
}

const firstStart = (): CommandContext => {
  const commandId = randomUUID();
  return {
    commandId,
    commandHash: '',
    actor: { subject: 'consumer-clients', roles: [], via: 'start' },
    correlationId: commandId,
    causationId: commandId,
  };
};
