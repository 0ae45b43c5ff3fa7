import type { Instant } from '#domain';
import type { LogSealed, LogUnsealed, RecordedEvent } from '#events';
import { appendNext } from './append-next.js';
import { internalContext } from './internal-context.js';
import type { EventLog } from './port.js';
import { isSealedBy, LOG_STREAM } from './streams.js';

/**
 * Whether the event is a seal marker: an event that seals or unseals the log. A log is sealed when it is moved to
 * another store. Seal markers only tell which store is in use, so they are not copied as part of the book of record
 * (the log's content).
 */
export const isSealMarker = ({ stream, type }: Pick<RecordedEvent, 'stream' | 'type'>): boolean =>
  stream === LOG_STREAM && (type === 'LogSealed' || type === 'LogUnsealed');

export interface SealOptions {
  /** Why the log is sealed or unsealed. The event stores this reason for auditors. */
  readonly reason: string;
  readonly now: () => Date;
}

/** Returns whether the log is sealed. Throws `LogUnavailable`. */
export const isSealed = async (log: EventLog): Promise<boolean> => (await sealOf(log)) !== undefined;

/**
 * Returns the event that seals the log; `undefined` if the log is not sealed. While the log is sealed, nothing may be
 * appended, except to stream `log`. Throws `LogUnavailable`.
 */
export async function sealOf(log: EventLog): Promise<RecordedEvent | undefined> {
  const [last] = await readLastOfLogStream(log);
  return isSealedBy(last?.type) ? last : undefined;
}

/**
 * Seals the log. When `sealHoldsAfterMs` milliseconds have passed after this call, nothing more can be appended, except
 * to stream `log`. Returns `false` if the log was sealed already. Throws `LogUnavailable`.
 */
export const sealLog = (log: EventLog, { reason, now }: SealOptions): Promise<boolean> =>
  appendMarker(log, true, now, (sealedAt) => ({ type: 'LogSealed', data: { reason, sealedAt } }));

/**
 * Unseals the log, so that events can be appended again. Returns `false` if the log was not sealed. Throws
 * `LogUnavailable`.
 */
export const unsealLog = (log: EventLog, { reason, now }: SealOptions): Promise<boolean> =>
  appendMarker(log, false, now, (unsealedAt) => ({ type: 'LogUnsealed', data: { reason, unsealedAt } }));

const appendMarker = (
  log: EventLog,
  sealed: boolean,
  now: () => Date,
  marker: (at: Instant) => LogSealed | LogUnsealed,
): Promise<boolean> =>
  appendNext(log, {
    ...{ stream: LOG_STREAM, context: internalContext({ via: 'cli' }), now },
    read: () => readLastOfLogStream(log),
    decide: ([last], at) => {
      if (!last) throw new Error('The event log has no id yet');
      return isSealedBy(last.type) === sealed ? undefined : marker(at);
    },
  });

const readLastOfLogStream = (log: EventLog): Promise<RecordedEvent[]> =>
  log.readStream(LOG_STREAM, { direction: 'backwards', limit: 1, consistency: 'strong' });
