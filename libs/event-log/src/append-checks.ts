import type { NewEvent } from '#events';
import { EventTooLarge } from './errors.js';
import { type ExpectedRevision, MAX_APPEND_BYTES } from './port.js';

/** An event as a store takes it: `data` and `metadata` are JSON, the id is in lower case. */
export interface SerialisedEvent {
  readonly eventId: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

export interface SerialisedAppend {
  readonly events: readonly SerialisedEvent[];
  /** The sum of all data and metadata, UTF-8. */
  readonly bytes: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * What every adapter asks of an append before it sends it: a server may answer these with a hang (EventStoreDB does).
 * Throws `TypeError` for what only a bug can ask for (no stream name, a negative revision, no event, an event id that
 * is no UUID, no type, data or metadata that isn't JSON), and `EventTooLarge` over `MAX_APPEND_BYTES`.
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
    bytes += Buffer.byteLength(event.data) + Buffer.byteLength(event.metadata);
    return event;
  });
  if (bytes > MAX_APPEND_BYTES) throw new EventTooLarge(stream, bytes);
  return { events: serialised, bytes };
}

const toJson = (value: object): string => {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError('Data and metadata of an event must be JSON');
  return json;
};
