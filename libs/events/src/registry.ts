import { hash } from 'node:crypto';
import {
  type ConsumerClientEvent,
  type ConsumerClientSecretRotated,
  type EndpointUriEvent,
  secondsAfter,
  type SigningKeysEvent,
  type SubscriptionEvent,
} from '#domain';
import { validateSync, type ValidatorOptions } from 'class-validator';
import type { EventMetadata, JsonObject, Position, RecordedEvent } from './envelope.js';
import { InvalidEvent, UnknownEvent } from './errors.js';
import type { LogCreated } from './log-created.js';
import type { LogSealed, LogUnsealed } from './log-seal.js';
import * as consumerClient from './schemas/consumer-client.js';
import * as endpointUri from './schemas/endpoint-uri.js';
import * as log from './schemas/log.js';
import * as signingKeys from './schemas/signing-keys.js';
import * as subscription from './schemas/subscription.js';
import * as usage from './schemas/usage.js';
import type { UsageRecorded } from './usage-recorded.js';

/** What our streams may hold, in its current form. */
export type LogEvent =
  | ConsumerClientEvent
  | SubscriptionEvent
  | EndpointUriEvent
  | SigningKeysEvent
  | UsageRecorded
  | LogCreated
  | LogSealed
  | LogUnsealed;
export type LogEventType = LogEvent['type'];

/** A recorded event with its data in the current form; the metadata is as it was stored. */
export type UpcastEvent = Omit<RecordedEvent, 'type' | 'data'> & LogEvent;

interface Version<Data extends object = object> {
  readonly schema: new () => Data;
  /** Fields that the hash chain, and all that leaves the log, know by their SHA-256 only. */
  readonly sensitive?: readonly ('verifier' | 'wrappedKey')[];
  /** Data of this version as data of the next; absent on the current one. */
  upcast?(data: object): object;
}
type OlderVersion = Version & Required<Pick<Version, 'upcast'>>;
type CurrentVersion<Type extends LogEventType> = Version<Extract<LogEvent, { type: Type }>['data']>;

const withPreviousExpiresAt = ({
  overlapSeconds,
  ...data
}: consumerClient.ConsumerClientSecretRotatedV1): ConsumerClientSecretRotated['data'] => ({
  ...data,
  previousExpiresAt: secondsAfter(data.rotatedAt, overlapSeconds),
});

/** The versions of every stored type, from 1 on; the last one is written. Types and versions are stored for ever. */
const registry: { readonly [Type in LogEventType]: readonly [...OlderVersion[], CurrentVersion<Type>] } = {
  ConsumerClientCreated: [{ schema: consumerClient.ConsumerClientCreatedV1, sensitive: ['verifier'] }],
  ConsumerClientRenamed: [{ schema: consumerClient.ConsumerClientRenamedV1 }],
  ConsumerClientSecretRotated: [
    { schema: consumerClient.ConsumerClientSecretRotatedV1, sensitive: ['verifier'], upcast: withPreviousExpiresAt },
    { schema: consumerClient.ConsumerClientSecretRotatedV2, sensitive: ['verifier'] },
  ],
  ConsumerClientCredentialRetired: [{ schema: consumerClient.ConsumerClientCredentialRetiredV1 }],
  ConsumerClientAssignedToSubscription: [{ schema: consumerClient.ConsumerClientAssignedToSubscriptionV1 }],
  ConsumerClientUnassignedFromSubscription: [{ schema: consumerClient.ConsumerClientUnassignedFromSubscriptionV1 }],
  ConsumerClientStaticTokenIssued: [{ schema: consumerClient.ConsumerClientStaticTokenIssuedV1 }],
  ConsumerClientTokenRevoked: [{ schema: consumerClient.ConsumerClientTokenRevokedV1 }],
  ConsumerClientTokensEnded: [{ schema: consumerClient.ConsumerClientTokensEndedV1 }],
  ConsumerClientRevoked: [{ schema: consumerClient.ConsumerClientRevokedV1 }],
  SubscriptionRegistered: [{ schema: subscription.SubscriptionRegisteredV1 }],
  SubscriptionEnded: [{ schema: subscription.SubscriptionEndedV1 }],
  EndpointUriClaimed: [{ schema: endpointUri.EndpointUriClaimedV1 }],
  MasterKeyCheckRecorded: [{ schema: signingKeys.MasterKeyCheckRecordedV1 }],
  SigningKeyPublished: [{ schema: signingKeys.SigningKeyPublishedV1, sensitive: ['wrappedKey'] }],
  SigningKeyActivated: [{ schema: signingKeys.SigningKeyActivatedV1 }],
  SigningKeyRetired: [{ schema: signingKeys.SigningKeyRetiredV1 }],
  SigningKeyCompromised: [{ schema: signingKeys.SigningKeyCompromisedV1 }],
  SigningKeyRewrapped: [{ schema: signingKeys.SigningKeyRewrappedV1, sensitive: ['wrappedKey'] }],
  UsageRecorded: [{ schema: usage.UsageRecordedV1 }],
  LogCreated: [{ schema: log.LogCreatedV1 }],
  LogSealed: [{ schema: log.LogSealedV1 }],
  LogUnsealed: [{ schema: log.LogUnsealedV1 }],
};

const versionsByType = new Map<string, readonly Version[]>(Object.entries(registry));

/** Every (type, version) that a log may hold. */
export const storedVersions = (): { type: string; schemaVersion: number }[] =>
  [...versionsByType].flatMap(([type, versions]) => versions.map((_, index) => ({ type, schemaVersion: index + 1 })));

/** The version in which events of this type are written. */
export const currentVersion = (type: LogEventType): number => registry[type].length;

const STRICT: ValidatorOptions = { whitelist: true, forbidNonWhitelisted: true, stopAtFirstError: true };

/**
 * Checks an event that is about to be written against the current version of its type, and answers that version.
 * Throws `InvalidEvent`, naming type and field; a field that the schema doesn't have is refused too.
 */
export function validate({ type, data }: LogEvent): number {
  const current = versionsByType.get(type)?.at(-1);
  if (!current) throw new InvalidEvent(type, 'type');
  const [error] = validateSync(Object.assign(new current.schema(), data), STRICT);
  if (error) throw new InvalidEvent(type, error.property);
  return currentVersion(type);
}

/**
 * A recorded event in its current form. Its data is not validated again, which would cost several times the reading:
 * it was when it was written, and the hash chain shows any change since. Throws `UnknownEvent`.
 */
export function upcast(recorded: RecordedEvent): UpcastEvent {
  const data = versionsFrom(recorded).reduce<object>(
    (before, version) => version.upcast?.(before) ?? before,
    recorded.data,
  );
  return { ...recorded, data } as UpcastEvent;
}

/** As much of an event as its registered version is found by. */
export interface VersionedEvent {
  readonly stream: string;
  readonly position?: Position;
  readonly type: string;
  readonly data: JsonObject;
  readonly metadata: Pick<EventMetadata, 'schemaVersion'>;
}

/**
 * The event with `{"sha256": hex}` in place of each sensitive value: the form that is hashed, and that may leave the
 * log. What is redacted already stays as it is. Throws `UnknownEvent`.
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

/** The event's own version and those after it. */
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
