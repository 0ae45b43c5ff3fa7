import { DomainError, type Instant } from '#domain';
import {
  type Basis,
  type BookOfRecord,
  canHoldCheckpoint,
  type ConsistencyToken,
  type EventPlace,
  placeOf,
} from '#event-log';
import type { Position } from '#events';

export const inTheFuture = (field: string) =>
  new DomainError('invalid', 'in_the_future', 'This has not happened yet', field);

export const notYet = () => new DomainError('not_found', 'not_yet', 'This client did not exist yet');

/** Throws `DomainError` with code `in_the_future` if the moment is after `now`. */
export function requirePast(at: Instant, now: Instant): void {
  if (now < at) throw inTheFuture('at');
}

/** A past of the whole log, which a question about many streams is about. */
export interface PastMoment {
  readonly basis: Extract<Basis, { readonly by: 'position' | 'time' }>;
  /** The moment at which everything that depends on the clock is judged. */
  readonly at: Instant;
}

/** What a caller says about the past that it means. */
export interface AskedMoment {
  readonly at?: Instant | undefined;
  readonly position?: Position | undefined;
  readonly now: Instant;
}

/**
 * Returns the past that a caller means: a place in the log, a moment, or by default the present. The present is
 * everything up to the log's end, judged at `now`. It is no moment, because another process's clock may be ahead of ours:
 * by time, an event that was just acknowledged would be in the future. Throws `DomainError` with code `in_the_future`,
 * `LogUnavailable`.
 */
export async function pastMomentOf(
  book: Pick<BookOfRecord, 'log'>,
  { at, position, now }: AskedMoment,
): Promise<PastMoment> {
  if (at !== undefined) requirePast(at, now);
  if (position !== undefined) {
    const placed = await lastEventAt(book, position);
    return { basis: { by: 'position', position }, at: at ?? placed?.occurredAt ?? now };
  }
  if (at !== undefined && at < now) return { basis: { by: 'time', at }, at };
  return { basis: await presentOf(book), at: now };
}

/** Returns the basis of the present: the log's end. Throws `LogUnavailable`. */
export async function presentOf({ log }: Pick<BookOfRecord, 'log'>): Promise<PastMoment['basis']> {
  const end = await log.end();
  if (end === undefined) throw new Error('A log in use has at least the event with its id');
  return { by: 'position', position: end };
}

/**
 * Returns the place of the last of our events up to the position. `undefined`: there is none. Throws `DomainError` with
 * code `in_the_future` if the position is beyond the log's end. `field`: the name of the caller's input.
 */
export async function lastEventAt(
  { log }: Pick<BookOfRecord, 'log'>,
  position: Position,
  field = 'position',
): Promise<EventPlace | undefined> {
  const event = await log.eventAt(position);
  if (event) return placeOf(event);
  const end = await log.end();
  if (end === undefined || end < position) throw inTheFuture(field);
  const [before] = await log.readAll({ after: position, direction: 'backwards', limit: 1, consistency: 'strong' });
  return before && placeOf(before);
}

/** Number of events that are read at once in search of one that a checkpoint may name. */
const PIECE = 50;

/**
 * Returns a consistency token with which a read model answers only when it knows all events of clients and
 * subscriptions up to the position (default: the log's end). No checkpoint names an event of some streams of the
 * installation, so the token names the last event before them. `undefined`: there is none. Throws `LogUnavailable`.
 */
export async function tokenUpTo(
  { log, logId }: Pick<BookOfRecord, 'log' | 'logId'>,
  position?: Position,
): Promise<ConsistencyToken | undefined> {
  const at = position === undefined ? undefined : await log.eventAt(position);
  if (at && canHoldCheckpoint(at.stream)) return { logId, position: at.position };
  for (let after = position; ;) {
    const events = await log.readAll({
      ...(after !== undefined && { after }),
      ...{ direction: 'backwards', limit: PIECE, consistency: 'strong' },
    });
    const last = events.find(({ stream }) => canHoldCheckpoint(stream));
    if (last) return { logId, position: last.position };
    after = events.at(-1)?.position;
    if (after === undefined) return undefined;
  }
}

/** The later of two moments. */
export const laterOf = (one: Instant, other: Instant | undefined): Instant =>
  other !== undefined && one < other ? other : one;

/** What `basis` means for the other streams that an answer needs: an event's revision says nothing about them. */
export const basisOfOthers = (basis: Basis, last: EventPlace): Basis =>
  basis.by === 'revision' ? { by: 'position', position: last.position } : basis;
