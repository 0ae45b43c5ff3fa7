import type {
  AllStreamResolvedEvent,
  ReadAllOptions,
  ReadPosition,
  ReadRevision,
  ReadStreamOptions,
  ResolvedEvent,
  StreamingRead,
} from '@eventstore/db-client';
import { ForeignEvent, HistoryMissing, type LogReadOptions, type StreamReadOptions, unreadableEvent } from '#event-log';
import type { EventMetadata, JsonObject, Position, RecordedEvent } from '#events';
import type { Link } from './connection.js';
import type { Deadline } from './deadline.js';
import { ALL_STREAMS, isDenied, isMissingStream, isNoPlaceInLog, isTombstonedStream, namingRight } from './errors.js';
import { fromPosition, toPosition } from './positions.js';
import { howCut } from './stream-cuts.js';

const DEFAULT_READ_LIMIT = 500;

/**
 * Reads a stream on the leader. Returns `[]` if the stream never existed. Throws `HistoryMissing` if the stream was
 * deleted. Throws `LogUnavailable`, and the errors of the driver.
 */
export async function readStream(
  link: Link,
  stream: string,
  options: StreamReadOptions,
  deadline: Deadline,
): Promise<RecordedEvent[]> {
  const events = await readFoundStream(link, stream, options, deadline);
  if (events) return events;
  await requireNeverExisted(link, stream, deadline);
  return [];
}

const LAST_EVENT: StreamReadOptions = { direction: 'backwards', limit: 1 };

/**
 * Does the same as `readStream`, but returns `undefined` for a stream that the server does not find. Such a stream never
 * existed, or was deleted.
 */
export async function readFoundStream(
  link: Link,
  stream: string,
  { from, direction = 'forwards', limit }: StreamReadOptions,
  deadline: Deadline,
): Promise<RecordedEvent[] | undefined> {
  // Where nothing follows the event before `from`, that event shows that nothing was cut from there on.
  const isRest = direction === 'forwards' && from !== undefined && from > 0n;
  const fromRevision: ReadRevision = isRest ? from - 1n : (from ?? (direction === 'forwards' ? 'start' : 'end'));
  const options: ReadStreamOptions = { direction, fromRevision, requiresLeader: true };
  const events: RecordedEvent[] = [];
  let shown = 0;
  try {
    const read = link.client.readStream(
      link.names.stored(stream),
      limit === undefined ? options : { ...options, maxCount: isRest ? limit + 1 : limit },
    );
    await readEach(read, deadline, (event) => {
      shown += 1;
      const isAskedFor = !(isRest && event.revision < from) && events.length < (limit ?? Infinity);
      if (isAskedFor) events.push(toRecordedEvent(event, stream));
      return true;
    });
  } catch (error) {
    if (isTombstonedStream(error)) throw tombstoned(stream);
    if (isMissingStream(error)) return undefined;
    throw namingRight(error, '$r', link.names.stored(stream), link);
  }
  // Perhaps the stream ends before `from`: then it shows its last event. Or somebody has cut all of it, and perhaps events
  // that this process has never read, such as a revocation: then this read throws.
  if (isRest && shown === 0) return (await readFoundStream(link, stream, LAST_EVENT, deadline)) && [];
  // The server has found the stream, and a read of a whole stream gave nothing.
  const isOfAll = direction === 'forwards' ? (from ?? 0n) === 0n : from === undefined;
  if (events.length === 0 && isOfAll) throw new HistoryMissing(stream, `all events of ${stream} are missing`);
  return events;
}

export const tombstoned = (stream: string): HistoryMissing =>
  new HistoryMissing(stream, `${stream} was tombstoned: all its events are missing`);

/**
 * Throws `HistoryMissing` if a stream that the server does not find was cut. The stream's metadata, in a stream of its
 * own, show it. This second read is sent for missing streams only. An account without the right to read
 * metadata (`$mr`) can't tell a deleted stream, so for that account the stream has never existed.
 */
export async function requireNeverExisted(link: Link, stream: string, deadline: Deadline): Promise<void> {
  try {
    await readMetadata(link, stream, deadline, ({ data }) => {
      const how = howCut(data);
      if (how !== undefined) throw new HistoryMissing(stream, `${stream} ${how}: all its events are missing`);
      return true;
    });
  } catch (error) {
    if (!isDenied(error)) throw error;
  }
}

/**
 * Whether the stream's first events are hidden or gone, because the stream was cut, deleted or tombstoned, even if
 * somebody has taken this back. Only a stream of which nothing is left can't show it itself. Then any metadata count: we
 * write none for streams of events. Throws `LogUnavailable`, `ForeignEvent`, and the errors of the driver.
 */
export async function isCut(link: Link, stream: string, deadline: Deadline): Promise<boolean> {
  try {
    const events = await readFoundStream(link, stream, { limit: 1 }, deadline);
    if (events) return events[0]?.revision !== 0n;
    let hasMetadata = false;
    await readMetadata(link, stream, deadline, () => (hasMetadata = true));
    return hasMetadata;
  } catch (error) {
    if (error instanceof HistoryMissing) return true;
    if (isDenied(error)) return false;
    throw error;
  }
}

/** Returns whether the account has the right to read the stream's metadata. Throws the errors of the driver. */
export async function mayReadMetadata(link: Link, stream: string, deadline: Deadline): Promise<boolean> {
  try {
    await readMetadata(link, stream, deadline, () => true);
    return true;
  } catch (error) {
    if (!isDenied(error)) throw error;
    return false;
  }
}

/** Passes the newest event of the stream's metadata to `take`, if there is any. Throws the errors of the driver. */
async function readMetadata(
  { client, names }: Link,
  stream: string,
  deadline: Deadline,
  take: Parameters<typeof readEach>[2],
): Promise<void> {
  const last = { direction: 'backwards', fromRevision: 'end', maxCount: 1, requiresLeader: true } as const;
  try {
    await readEach(client.readStream(names.storedMetadata(stream), last), deadline, take);
  } catch (error) {
    if (!isMissingStream(error)) throw error;
  }
}

/**
 * Reads the events of our streams from the whole log, as `EventLog.readAll` requires. The server's reads differ from
 * this in two ways. First, a forwards read of the server includes the event at `after`, so we drop this event. Second,
 * a read of the server can begin only at the position of an event. If no event is at `after`, we read from the log's
 * start (backwards: from its end) and drop the events before (backwards: after) `after`. Throws `LogUnavailable`, and
 * the errors of the driver.
 */
export async function readLog(
  link: Link,
  { after, direction = 'forwards', limit = DEFAULT_READ_LIMIT }: LogReadOptions,
  deadline: Deadline,
): Promise<RecordedEvent[]> {
  const isAfter = (event: RecordedEvent) =>
    after === undefined || (direction === 'forwards' ? event.position > after : event.position < after);
  const readFrom = async (fromPosition: ReadPosition) => {
    const events: RecordedEvent[] = [];
    await readAllEach(link, { direction, fromPosition }, deadline, (found) => {
      const event = ourEvent(link, found);
      if (event && isAfter(event)) events.push(event);
      return events.length < limit;
    });
    return events;
  };
  const outermost = direction === 'forwards' ? 'start' : 'end';
  if (after === undefined) return readFrom(outermost);
  try {
    return await readFrom(fromPosition(after));
  } catch (error) {
    if (!isNoPlaceInLog(error)) throw error;
    return readFrom(outermost);
  }
}

/**
 * Reads the event at exactly this position, on the leader. Returns `[]` if no event of our streams is there. Throws
 * `LogUnavailable`, and the errors of the driver.
 */
export async function readEventAt(link: Link, position: Position, deadline: Deadline): Promise<RecordedEvent[]> {
  const at = fromPosition(position);
  try {
    const found = await firstOf(link, { direction: 'forwards', fromPosition: at }, deadline);
    const event = found?.position?.commit === at.commit ? ourEvent(link, found) : undefined;
    return event ? [event] : [];
  } catch (error) {
    if (isNoPlaceInLog(error)) return [];
    throw error;
  }
}

/**
 * Returns the position of the log's last event, read on the leader. The event may belong to another application. Throws
 * `LogUnavailable`, and the errors of the driver.
 */
export async function readEnd(link: Link, deadline: Deadline): Promise<Position | undefined> {
  const last = await firstOf(link, { direction: 'backwards', fromPosition: 'end' }, deadline);
  return last?.position && toPosition(last.position);
}

/** What a look at the log's end has found. */
export interface LogEnd {
  /** The commit position of the log's last event, of any application; `undefined` if the log is empty. */
  readonly end: bigint | undefined;
  /**
   * The commit position of the last event of our streams; `undefined` if none of ours comes after the given position.
   * `'unknown'`: other applications wrote so many events that the look ended before it found one of ours.
   */
  readonly lastOfOurs: bigint | 'unknown' | undefined;
  /** The last event of our streams, if the look has found it. */
  readonly newest?: RecordedEvent | undefined;
}

/** Numbers of events that a look at the log's end reads. The second read is made only if the first one is not enough. */
const LOOKS = [32, 4_096] as const;

/**
 * Looks for the last event of our streams after the commit position `after`, on the leader. Throws `LogUnavailable`, and
 * the errors of the driver.
 */
export async function lookAtEnd(link: Link, after: bigint, deadline: Deadline): Promise<LogEnd> {
  let end: bigint | undefined;
  for (const maxCount of LOOKS) {
    const seen: { commit: bigint; ours: RecordedEvent | undefined }[] = [];
    await readAllEach(link, { direction: 'backwards', fromPosition: 'end', maxCount }, deadline, (event) => {
      const one = { commit: event.position.commit, ours: ourEvent(link, event) };
      seen.push(one);
      return one.commit > after && !one.ours;
    });
    end = seen[0]?.commit;
    const last = seen.at(-1);
    if (last === undefined || last.commit <= after) return { end, lastOfOurs: undefined };
    if (last.ours) return { end, lastOfOurs: last.commit, newest: last.ours };
    if (seen.length < maxCount) return { end, lastOfOurs: undefined };
  }
  return { end, lastOfOurs: 'unknown' };
}

async function firstOf(link: Link, from: Pick<ReadAllOptions, 'direction' | 'fromPosition'>, deadline: Deadline) {
  const found: NonNullable<ResolvedEvent['event']>[] = [];
  await readAllEach(link, { ...from, maxCount: 1 }, deadline, (event) => {
    found.push(event);
    return true;
  });
  return found[0];
}

/** Reads the whole log on the leader, as `readEach` does. */
async function readAllEach(
  link: Link,
  options: ReadAllOptions,
  deadline: Deadline,
  take: (event: NonNullable<AllStreamResolvedEvent['event']>) => boolean,
): Promise<void> {
  try {
    await readEach(link.client.readAll({ ...options, requiresLeader: true }), deadline, take);
  } catch (error) {
    throw namingRight(error, '$r', ALL_STREAMS, link);
  }
}

/**
 * Passes each event of a read to `take`, until `take` returns `false`. The driver's reads have no deadline, and stay
 * open when nobody reads on. So this function ends the read at the deadline, and also when no event has come for
 * `deadline.attemptMs`.
 */
export async function readEach<Event extends ResolvedEvent>(
  read: StreamingRead<Event>,
  deadline: Deadline,
  take: (event: NonNullable<Event['event']>) => boolean,
): Promise<void> {
  // The read may fail after the loop below has ended. An error without a listener would end the process.
  read.on('error', () => undefined);
  const silence = setTimeout(() => {
    read.destroy(deadline.exceeded());
  }, deadline.attemptMs);
  let hasEnded = false;
  try {
    for await (const { event } of read) {
      if (deadline.isOver) throw deadline.exceeded();
      silence.refresh();
      if (event && !take(event)) return;
    }
    hasEnded = true;
  } catch (error) {
    hasEnded = isMissingStream(error);
    throw error;
  } finally {
    clearTimeout(silence);
    // We don't cancel a read that the server has already ended. A cancellation resets the HTTP/2 stream. The server
    // takes many resets for an attack and closes the connection.
    if (!hasEnded) await read.cancel().catch(() => undefined);
  }
}

type ServerEvent = NonNullable<ResolvedEvent['event']>;

/**
 * Returns the stream of ours to which the event belongs; `undefined` for an event of another application. The server
 * writes events of its own into our streams: when somebody deletes a stream for ever (a tombstone), the stream ends with
 * a `$streamDeleted`. Readers of the whole log skip these events, so that one deleted stream does not stop them. A read
 * of the deleted stream itself fails.
 */
const ourStreamOf = ({ names }: Link, { streamId, type }: ServerEvent): string | undefined =>
  type.startsWith('$') ? undefined : names.ours(streamId);

/**
 * Converts an event of the whole log. Returns `undefined` for an event that is not ours. An event that another
 * application wrote into a stream of ours is returned as an unreadable one.
 */
export function ourEvent(link: Link, event: ServerEvent): RecordedEvent | undefined {
  const stream = ourStreamOf(link, event);
  if (stream === undefined) return undefined;
  try {
    return toRecordedEvent(event, stream);
  } catch (error) {
    const { id: eventId, type, revision, position } = event;
    if (!(error instanceof ForeignEvent) || position === undefined) throw error;
    return unreadableEvent({ eventId, type, stream, revision, position: toPosition(position) }, error);
  }
}

/** Converts an event of our stream `stream`. Throws `ForeignEvent`. */
function toRecordedEvent(event: ServerEvent, stream: string): RecordedEvent {
  const { revision, id, type, data, metadata, isJson, position } = event;
  if (!isJson || !isJsonObject(data) || !isJsonObject(metadata) || position === undefined) {
    throw new ForeignEvent(stream, revision);
  }
  return {
    eventId: id,
    type,
    data,
    metadata: metadata as unknown as EventMetadata,
    stream,
    revision,
    position: toPosition(position),
  };
}

/** The driver returns bytes or a text where it finds no JSON. */
const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
