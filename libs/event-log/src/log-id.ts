import { randomUUID } from 'node:crypto';
import { seal, upcast } from '#events';
import { RevisionConflict } from './errors.js';
import { ownContext } from './own-context.js';
import type { EventLog } from './port.js';
import { LOG_STREAM } from './streams.js';

/** The id that the log was given when it was first opened: checkpoints and consistency tokens carry it. */
export async function identifyLog(log: EventLog, now: () => Date): Promise<string> {
  const known = await readLogId(log);
  if (known !== undefined) return known;
  const logId = randomUUID();
  const createdAt = now().toISOString();
  const created = { type: 'LogCreated', data: { logId, createdAt } } as const;
  const events = seal(LOG_STREAM, undefined, [created], ownContext('start'), createdAt);
  try {
    await log.append(LOG_STREAM, 'none', events);
    return logId;
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    return identifyLog(log, now);
  }
}

/** The log's id as it stands; `undefined` for a log that was never opened. */
export async function readLogId(log: EventLog): Promise<string | undefined> {
  const [first] = await log.readStream(LOG_STREAM, { limit: 1, consistency: 'strong' });
  if (!first) return undefined;
  const event = upcast(first);
  if (event.type !== 'LogCreated') throw new Error(`Stream ${LOG_STREAM} begins with ${event.type}`);
  return event.data.logId;
}
