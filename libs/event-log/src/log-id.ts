import { randomUUID } from 'node:crypto';
import { seal, upcast } from '#events';
import type { CallOptions } from './call-options.js';
import { HistoryMissing, RevisionConflict } from './errors.js';
import { internalContext } from './internal-context.js';
import type { EventLog } from './port.js';
import { LOG_STREAM } from './streams.js';

/**
 * Returns the log's id. A log without an id gets a new id first. Checkpoints and consistency tokens carry this id.
 * Throws `LogUnavailable`, `HistoryMissing`.
 */
export async function identifyLog(log: EventLog, now: () => Date): Promise<string> {
  const known = await readLogId(log);
  if (known !== undefined) return known;
  const logId = randomUUID();
  const createdAt = now().toISOString();
  const created = { type: 'LogCreated', data: { logId, createdAt } } as const;
  const events = seal(LOG_STREAM, undefined, [created], internalContext({ via: 'start' }), createdAt);
  try {
    await log.append(LOG_STREAM, 'none', events);
    return logId;
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    return identifyLog(log, now);
  }
}

/**
 * Returns the log's id; `undefined` if the log has no id yet. The read is strong: it returns every event that was
 * acknowledged before. Throws `LogUnavailable`, `HistoryMissing`.
 */
export async function readLogId(log: EventLog, options?: CallOptions): Promise<string | undefined> {
  const [first] = await log.readStream(LOG_STREAM, { limit: 1, consistency: 'strong', ...options });
  if (!first) return undefined;
  const event = upcast(first);
  if (event.type !== 'LogCreated') throw new Error(`Stream ${LOG_STREAM} begins with ${event.type}`);
  return event.data.logId;
}

/**
 * Throws `HistoryMissing` if this is not the log with this id any more. Nothing can be appended to the log then. Throws
 * `LogUnavailable`.
 */
export async function requireSameLog(log: EventLog, logId: string, options?: CallOptions): Promise<void> {
  const actual = await readLogId(log, options);
  if (actual === logId) {
    log.missingHistory.forget(LOG_STREAM);
    return;
  }
  const exchanged = `Event log ${logId} was exchanged for ${actual ?? 'an empty one'}`;
  const error = new HistoryMissing(LOG_STREAM, exchanged, undefined);
  log.missingHistory.note(error);
  throw error;
}
