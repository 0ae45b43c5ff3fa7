import type { NewEvent } from '#events';
import { EventTooLarge } from './errors.js';
import type { ExpectedRevision } from './expected-revision.js';
import { MAX_APPEND_BYTES } from './port.js';

/**
 * An event in the form in which a store receives events. `data` and `metadata` are JSON texts. The event id is in lower
 * case.
 */
export interface SerialisedEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

export interface SerialisedAppend {
  readonly events: readonly SerialisedEvent[];
  /** The size of all events (see `MAX_APPEND_BYTES`). */
  readonly bytes: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * Checks and serialises an append. Every adapter MUST call this function before the adapter sends an append, because
 * EventStoreDB never responds to some invalid appends. Throws `EventTooLarge` above `MAX_APPEND_BYTES`. Throws
 * `TypeError` for an append that only a bug can cause: the stream name is empty, the revision is negative, there is no
 * event, an event has no type, an event's id is not a UUID, or its data or metadata can't be JSON.
 */
export function serialiseAppend(
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): SerialisedAppend {
  if (stream === '') throw new TypeError('An append needs the name of a stream');
  if (typeof expected === 'bigint' && expected < 0n) throw new TypeError(`No stream is ever at revision ${expected}`);
  if (events.length === 0) throw new TypeError(`An append to ${stream} needs at least one event`);
  let bytes = 0;
  const serialised = events.map(({ eventId, type, data, metadata }) => {
    if (!UUID.test(eventId)) throw new TypeError(`An event's id must be a UUID: ${eventId}`);
    if (type === '') throw new TypeError(`Event ${eventId} has no type`);
    const event = { eventId: eventId.toLowerCase(), type, data: toJson(data), metadata: toJson(metadata) };
    bytes += sizeOf(event);
    return event;
  });
  if (bytes > MAX_APPEND_BYTES) throw new EventTooLarge(stream, bytes);
  return { events: serialised, bytes };
}

/** The size of an event with its data and metadata as JSON texts, as `MAX_APPEND_BYTES` counts it. */
export const sizeOf = ({ type, data, metadata }: Pick<SerialisedEvent, 'type' | 'data' | 'metadata'>): number =>
  2 * type.length + Buffer.byteLength(data) + Buffer.byteLength(metadata);

const toJson = (value: object): string => {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError('Data and metadata of an event must be JSON');
  return json;
};
