import type { Instant } from '#domain';
import { type LogSealed, type LogUnsealed, type RecordedEvent, seal } from '#events';
import { RevisionConflict } from './errors.js';
import { ownContext } from './own-context.js';
import type { EventLog } from './port.js';
import { LOG_STREAM, isSealedBy } from './streams.js';

/** Seals and unseals: they say where the book of record is written, and are no part of it. */
export const isSealMarker = ({ stream, type }: Pick<RecordedEvent, 'stream' | 'type'>): boolean =>
  stream === LOG_STREAM && (type === 'LogSealed' || type === 'LogUnsealed');

export interface SealOptions {
  /** As an auditor reads it. */
  readonly reason: string;
  readonly now: () => Date;
}

/** Throws `LogUnavailable`. */
export const isSealed = async (log: EventLog): Promise<boolean> => (await sealOf(log)) !== undefined;

/** The event that seals the log now. Throws `LogUnavailable`. */
export async function sealOf(log: EventLog): Promise<RecordedEvent | undefined> {
  const last = await lastOfLogStream(log);
  return isSealedBy(last?.type) ? last : undefined;
}

/**
 * Seals the log: `sealHoldsAfterMs` later its end is final. Answers whether it was not sealed before. Throws
 * `LogUnavailable`.
 */
export const sealLog = (log: EventLog, { reason, now }: SealOptions): Promise<boolean> =>
  mark(log, true, now, (sealedAt) => ({ type: 'LogSealed', data: { reason, sealedAt } }));

/** Ends the seal. Answers whether there was one. Throws `LogUnavailable`. */
export const unsealLog = (log: EventLog, { reason, now }: SealOptions): Promise<boolean> =>
  mark(log, false, now, (unsealedAt) => ({ type: 'LogUnsealed', data: { reason, unsealedAt } }));

async function mark(
  log: EventLog,
  sealed: boolean,
  now: () => Date,
  marker: (at: Instant) => LogSealed | LogUnsealed,
): Promise<boolean> {
  const last = await lastOfLogStream(log);
  if (!last) throw new Error('The event log has no id yet');
  if (isSealedBy(last.type) === sealed) return false;
  const { revision, metadata } = last;
  const today = now().toISOString();
  const at = today < metadata.occurredAt ? metadata.occurredAt : today;
  const events = seal(LOG_STREAM, { revision, hash: metadata.hash }, [marker(at)], ownContext('cli'), at);
  try {
    await log.append(LOG_STREAM, revision, events);
    return true;
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    return mark(log, sealed, now, marker);
  }
}

async function lastOfLogStream(log: EventLog): Promise<RecordedEvent | undefined> {
  const [last] = await log.readStream(LOG_STREAM, { direction: 'backwards', limit: 1, consistency: 'strong' });
  return last;
}
