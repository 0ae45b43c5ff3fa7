import { hash } from 'node:crypto';
import type {
  ConsumerClientEvent,
  EndpointUriEvent,
  ExternalIdEvent,
  SigningKeysEvent,
  SubscriptionEvent,
} from '#domain';
import type { EventMetadata, JsonObject, Position, RecordedEvent } from './envelope.js';
import { InvalidEvent, NotDuringUpgrade, UnknownEvent } from './errors.js';
import type { LogAdopted } from './log-adopted.js';
import type { LogCreated } from './log-created.js';
import type { LogSealed, LogUnsealed } from './log-seal.js';
import type { OperatorAct } from './operator-acts.js';
import type { StreamQuarantined, StreamQuarantineLifted } from './quarantine.js';
import { consumerClientVersions } from './schemas/consumer-client.js';
import { endpointUriVersions } from './schemas/endpoint-uri.js';
import { externalIdVersions } from './schemas/external-id.js';
import { firstWrongField } from './schemas/first-wrong-field.js';
import { logVersions } from './schemas/log.js';
import { operatorActVersions } from './schemas/operator-acts.js';
import { quarantineVersions } from './schemas/quarantine.js';
import { signingKeysVersions } from './schemas/signing-keys.js';
import { subscriptionVersions } from './schemas/subscription.js';
import { treeHeadsVersions } from './schemas/tree-heads.js';
import { usageVersions } from './schemas/usage.js';
import type { Version, VersionsOf } from './schemas/versions.js';
import type { TreeHeadsEvent } from './tree-heads.js';
import type { UsageRecorded } from './usage-recorded.js';

/** Every event that our streams may hold, in the current version of its type. */
export type LogEvent =
  | ConsumerClientEvent
  | SubscriptionEvent
  | EndpointUriEvent
  | ExternalIdEvent
  | SigningKeysEvent
  | UsageRecorded
  | LogCreated
  | LogSealed
  | LogUnsealed
  | LogAdopted
  | StreamQuarantined
  | StreamQuarantineLifted
  | OperatorAct
  | TreeHeadsEvent;
export type LogEventType = LogEvent['type'];

/** A stored event whose data was converted to the current version of its type. The metadata is unchanged. */
export type UpcastEvent<Event extends VersionedEvent = RecordedEvent> = Omit<Event, 'type' | 'data'> & LogEvent;

const registry: VersionsOf<LogEvent> = {
  ...consumerClientVersions,
  ...subscriptionVersions,
  ...endpointUriVersions,
  ...externalIdVersions,
  ...signingKeysVersions,
  ...usageVersions,
  ...logVersions,
  ...quarantineVersions,
  ...operatorActVersions,
  ...treeHeadsVersions,
};

const versionsByType = new Map<string, readonly Version[]>(Object.entries(registry));

/** Returns every pair of type and version that a log may hold. */
export const storedVersions = (): { type: string; schemaVersion: number }[] =>
  [...versionsByType].flatMap(([type, versions]) => versions.map((_, index) => ({ type, schemaVersion: index + 1 })));

/** Returns the newest version of this type of events. */
export const currentVersion = (type: LogEventType): number => registry[type].length;

/**
 * Called before an event is written. Checks the event against the current version of its type, and returns the number
 * of that version. Throws `InvalidEvent`, which names the type and the field. A field that the schema doesn't have is a
 * fault, too.
 */
export function validate({ type, data }: LogEvent): number {
  requireValid(type, data, versionsByType.get(type)?.at(-1));
  return currentVersion(type);
}

/**
 * The versions that a process writes. `current`: the newest version of each event type. `previous`: the version before,
 * if the release before this one does not know the newest version. Processes of that release may then still run.
 */
export const EVENT_VERSIONS = ['current', 'previous'] as const;
export type EventVersions = (typeof EVENT_VERSIONS)[number];

/** An event in the version in which it is written. */
export interface VersionedData {
  readonly data: JsonObject;
  readonly schemaVersion: number;
}

/**
 * Called before an event is written. Checks the event as `validate` does, and returns it in the version that the process
 * writes. Returns `undefined` if that version has nothing to say about the event. Throws `InvalidEvent`, and
 * `NotDuringUpgrade` if that version can't record what the event means.
 */
export function writtenForm(event: LogEvent, versions: EventVersions): VersionedData | undefined {
  const schemaVersion = validate(event);
  const data: JsonObject = { ...event.data };
  if (versions === 'current') return { data, schemaVersion };
  const older = previousForm(event);
  if (older === 'current') return { data, schemaVersion };
  if (!older) return undefined;
  requireValid(event.type, older, versionsByType.get(event.type)?.at(-2));
  return { data: { ...older }, schemaVersion: schemaVersion - 1 };
}

/**
 * Checks whether the version that the process writes can record the event. The event's values are not checked. Throws
 * `NotDuringUpgrade`.
 */
export function requireWritable(event: LogEvent, versions: EventVersions): void {
  if (versions === 'previous') previousForm(event);
}

/**
 * Returns the event's data in the version that the release before writes: `current` if that is the newest version,
 * `undefined` if that version has nothing to say about the event. Throws `NotDuringUpgrade`.
 */
function previousForm({ type, data }: LogEvent): object | 'current' | undefined {
  const newest = versionsByType.get(type)?.at(-1);
  if (newest?.newTypeFields) throw new NotDuringUpgrade(newest.newTypeFields.find((field) => field in data));
  return newest?.downcast ? newest.downcast(data) : 'current';
}

function requireValid(type: string, data: object, version: Version | undefined): void {
  if (!version) throw new InvalidEvent(type, 'type');
  const field = firstWrongField(version.schema, data);
  if (field !== undefined) throw new InvalidEvent(type, field);
}

/**
 * Converts a stored event to the current version of its type. The data is not validated again, because validation
 * would cost several times as much as reading. The data was validated when it was written, and the hash chain shows any
 * change since then. Throws `UnknownEvent`, and the error of an event that could not be read.
 */
export function upcast<Event extends VersionedEvent>(stored: Event): UpcastEvent<Event> {
  if (stored.unreadable) throw stored.unreadable;
  const data = versionsFrom(stored).reduce<object>(
    (before, version) => version.upcast?.(before) ?? before,
    stored.data,
  );
  const event: object = data === stored.data ? stored : { ...stored, data };
  return event as UpcastEvent<Event>;
}

/** The fields of an event that we need to find the event's registered version. */
export interface VersionedEvent {
  readonly stream: string;
  readonly position?: Position;
  readonly type: string;
  readonly data: JsonObject;
  readonly metadata: Pick<EventMetadata, 'schemaVersion'>;
  readonly unreadable?: Error;
}

/**
 * Returns the event with `{"sha256": hex}` in place of each sensitive value. The hash chain uses this form, and only
 * this form may leave the log. Values that are redacted already stay unchanged. Throws `UnknownEvent`.
 */
export function redact<Event extends VersionedEvent>(event: Event): Event {
  const [{ sensitive }] = versionsFrom(event);
  if (!sensitive) return event;
  const data = { ...event.data };
  for (const field of sensitive) {
    const value = data[field];
    if (typeof value === 'string') data[field] = { sha256: hash('sha256', value) };
  }
  return { ...event, data };
}

/** Returns the event's own version and all later versions of its type. */
function versionsFrom({
  type,
  metadata: { schemaVersion },
  stream,
  position,
}: VersionedEvent): [Version, ...Version[]] {
  const versions = versionsByType.get(type) ?? [];
  const own = versions[schemaVersion - 1];
  if (!own) throw new UnknownEvent(type, schemaVersion, stream, position);
  return [own, ...versions.slice(schemaVersion)];
}
