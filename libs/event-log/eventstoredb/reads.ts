import type {
  ReadAllOptions,
  ReadPosition,
  ReadRevision,
  ReadStreamOptions,
  ResolvedEvent,
  StreamingRead,
} from '@eventstore/db-client';
import { type LogReadOptions, type StreamReadOptions, isOurStream } from '#event-log';
import type { EventMetadata, JsonObject, Position, RecordedEvent } from '#events';
import type { Link } from './connection.js';
import type { Deadline } from './deadline.js';
import { inTrouble, isMissingStream, isNoPlaceInLog } from './errors.js';
import { fromPosition, toPosition } from './positions.js';

const DEFAULT_READ_LIMIT = 500;

/**
 * Reads a stream on the leader. A missing one is empty. Throws `LogUnavailable`, and what the driver throws.
 */
export async function readStream(
  link: Link,
  stream: string,
  { from, direction = 'forwards', limit }: StreamReadOptions,
  deadline: Deadline,
): Promise<RecordedEvent[]> {
  const fromRevision: ReadRevision = from ?? (direction === 'forwards' ? 'start' : 'end');
  const options: ReadStreamOptions = { direction, fromRevision, requiresLeader: true };
  const events: RecordedEvent[] = [];
  try {
    const read = link.client.readStream(stream, limit === undefined ? options : { ...options, maxCount: limit });
    await readEach(read, deadline, (event) => {
      events.push(toRecordedEvent(event));
      return true;
    });
  } catch (error) {
    if (!isMissingStream(error)) throw error;
  }
  return events;
}

/**
 * Our events of the whole log, in the port's terms: the server's reads are inclusive forwards, and begin only where an
 * event is; from any other place the log is read from its end. Throws `LogUnavailable`, and what the driver throws.
 */
export async function readLog(
  link: Link,
  { after, direction = 'forwards', limit = DEFAULT_READ_LIMIT }: LogReadOptions,
  deadline: Deadline,
): Promise<RecordedEvent[]> {
  const isBehind = (event: RecordedEvent) =>
    after === undefined || (direction === 'forwards' ? event.position > after : event.position < after);
  const readFrom = async (fromPosition: ReadPosition) => {
    const events: RecordedEvent[] = [];
    await readEach(link.client.readAll({ direction, fromPosition, requiresLeader: true }), deadline, (found) => {
      if (isOurStream(found.streamId)) {
        const event = toRecordedEvent(found);
        if (isBehind(event)) events.push(event);
      }
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

/** Our event at this very position, on the leader. Throws `LogUnavailable`, and what the driver throws. */
export async function readEventAt(link: Link, position: Position, deadline: Deadline): Promise<RecordedEvent[]> {
  const at = fromPosition(position);
  try {
    const found = await firstOf(link, { direction: 'forwards', fromPosition: at }, deadline);
    return found?.position?.commit === at.commit && isOurStream(found.streamId) ? [toRecordedEvent(found)] : [];
  } catch (error) {
    if (isNoPlaceInLog(error)) return [];
    throw error;
  }
}

/** Of the last event, whoever's it is, on the leader. Throws `LogUnavailable`, and what the driver throws. */
export async function readEnd(link: Link, deadline: Deadline): Promise<Position | undefined> {
  const last = await firstOf(link, { direction: 'backwards', fromPosition: 'end' }, deadline);
  return last?.position && toPosition(last.position);
}

async function firstOf(link: Link, from: Pick<ReadAllOptions, 'direction' | 'fromPosition'>, deadline: Deadline) {
  const found: NonNullable<ResolvedEvent['event']>[] = [];
  await readEach(link.client.readAll({ ...from, maxCount: 1, requiresLeader: true }), deadline, (event) => {
    found.push(event);
    return true;
  });
  return found[0];
}

/**
 * Hands over what a read brings until `take` has enough of it. The driver's reads know no deadline and stay open when
 * they are left, so each is ended here: at the deadline, and when nothing came for as long as an attempt may take.
 */
export async function readEach<Event extends ResolvedEvent>(
  read: StreamingRead<Event>,
  deadline: Deadline,
  take: (event: NonNullable<Event['event']>) => boolean,
): Promise<void> {
  // What fails after the loop was left has no other listener, and would end the process.
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
    throw inTrouble(error, 'read');
  } finally {
    clearTimeout(silence);
    // What the server ends itself is not reset: servers take many resets for an attack, and close the connection.
    if (!hasEnded) await read.cancel().catch(() => undefined);
  }
}

/** Throws `Error` for what is no event of ours. */
export function toRecordedEvent(event: NonNullable<ResolvedEvent['event']>): RecordedEvent {
  const { streamId, revision, id, type, data, metadata, isJson, position } = event;
  if (!isJson || typeof metadata !== 'object' || position === undefined) {
    throw new Error(`Event ${revision} of ${streamId} was not written by this application`);
  }
  return {
    eventId: id,
    type,
    data: data as JsonObject,
    metadata: metadata as unknown as EventMetadata,
    stream: streamId,
    revision,
    position: toPosition(position),
  };
}
