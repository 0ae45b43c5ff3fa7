import { TREE_HEADS_STREAM } from '#event-log';
import type { EventMetadata, JsonObject, RecordedEvent } from '#events';
import type { FeedEvent } from './event-feed.js';

/** An event in the JSON format of CloudEvents 1.0. Its extensions are described in docs/feeds.md. */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly sequence: string;
  readonly partitionkey: string;
  readonly authtype: AuthType;
  readonly authid: string;
  readonly recordedtime: string;
  /** A decimal number. It is text, because integers of CloudEvents have 32 bits. Absent if the event is no leaf. */
  readonly leafindex?: string;
  readonly hash: string;
  readonly data: JsonObject;
}

/** The kinds of principals of the CloudEvents extension Auth Context that occur here. */
type AuthType = 'service_account' | 'user' | 'api_key' | 'system' | 'unknown';

const AUTH_TYPES: Readonly<Record<string, AuthType>> = {
  http: 'service_account',
  cli: 'user',
  login: 'api_key',
  'process-manager': 'system',
  start: 'system',
  schedule: 'system',
  tree: 'system',
};

export const authTypeOf = ({ via }: EventMetadata['actor']): AuthType => AUTH_TYPES[via] ?? 'unknown';

/** Returns the id of the client or subscription whose stream this is; `undefined` for a stream of the installation. */
export const subjectOf = (stream: string): string | undefined =>
  stream === TREE_HEADS_STREAM ? undefined : stream.slice(stream.indexOf('-') + 1);

/**
 * Returns where the event comes from, as a URI reference: the origin of the log, and the stream. The colon of a port is
 * encoded, because it would make the host a scheme (RFC 3986 §4.2).
 */
export const sourceOf = ({ stream }: RecordedEvent, origin: string): string =>
  `${origin.replace(/[:[\]]/g, encodeURIComponent)}/${stream}`;

/** Returns the type of the event, with the version in which it was stored. */
export const typeOf = ({ type, metadata }: RecordedEvent): string =>
  `consumer-clients.${type}.v${metadata.schemaVersion}`;

/**
 * Returns the event in the JSON format of CloudEvents 1.0. `origin`: the name of the log, as in the heads of its tree.
 * The RFC 8785 form of `data` is the text whose SHA-256 is `hash`, so that every event can be checked by itself.
 */
export function cloudEventOf({ event, leafIndex }: FeedEvent, origin: string): CloudEvent {
  const { eventId, type, stream, revision, position, data } = event;
  const { hash, ...metadata } = event.metadata;
  const subject = subjectOf(stream);
  return {
    specversion: '1.0',
    id: eventId,
    source: sourceOf(event, origin),
    type: typeOf(event),
    ...(subject !== undefined && { subject }),
    time: metadata.occurredAt,
    datacontenttype: 'application/json',
    sequence: position,
    partitionkey: subject ?? stream,
    authtype: authTypeOf(metadata.actor),
    authid: metadata.actor.subject,
    recordedtime: metadata.occurredAt,
    ...(leafIndex !== undefined && { leafindex: leafIndex.toString() }),
    hash,
    data: { data, eventId, metadata, revision: revision.toString(), stream, type },
  };
}
