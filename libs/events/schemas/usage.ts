import { IsInt, isInt, isObject, Min, min, ValidateBy } from 'class-validator';
import { type ClientId, type Instant, isClientId, isSubscriptionId } from '#domain';
import { USAGE_OUTCOMES, type UsageEntry, type UsageRecorded } from '../usage-recorded.js';
import { isInstant, IsOwnId } from './fields.js';
import type { VersionsOf } from './versions.js';

type Recorded = UsageRecorded['data'];

/**
 * We check the lists of clients and entries with our own code. A list may hold thousands of elements, and
 * class-validator would need an instance of a class for each element.
 */
const IsList = (name: string, validate: (value: unknown) => boolean) => ValidateBy({ name, validator: { validate } });

interface ClientUsage {
  readonly uses: number;
  readonly lastUsedAt: Instant;
}
interface RecordedV1 {
  readonly process: string;
  readonly clients: Readonly<Record<ClientId, ClientUsage>>;
}

const isUsageByClient = (value: unknown): boolean =>
  isObject(value) &&
  Object.keys(value).length > 0 &&
  Object.entries(value).every(([clientId, usage]) => isClientId(clientId) && isClientUsage(usage));

const isClientUsage = (value: unknown): boolean => {
  if (!isObject<ClientUsage>(value) || Object.keys(value).length !== 2) return false;
  return isInt(value.uses) && min(value.uses, 1) && isInstant(value.lastUsedAt);
};

/** Version 1 counted only the uses that succeeded, by client. */
class UsageRecordedV1 implements RecordedV1 {
  @IsOwnId() process!: string;
  @IsList('isUsageByClient', isUsageByClient) clients!: Readonly<Record<ClientId, ClientUsage>>;
}

const withEntries = ({ process, clients }: RecordedV1): Recorded => ({
  process,
  entries: Object.entries(clients).map(([clientId, { uses, lastUsedAt }]) => ({
    client: clientId as ClientId,
    outcome: 'OK',
    count: uses,
    last: lastUsedAt,
  })),
  unknownClients: 0,
});

/** An event without a success has nothing that version 1 can say. */
const withClients = ({ process, entries }: Recorded): RecordedV1 | undefined => {
  const clients: Record<ClientId, ClientUsage> = {};
  for (const { client, count, last } of entries.filter(({ outcome }) => outcome === 'OK')) {
    const { uses = 0, lastUsedAt = last } = clients[client] ?? {};
    clients[client] = { uses: uses + count, lastUsedAt: lastUsedAt < last ? last : lastUsedAt };
  }
  return Object.keys(clients).length > 0 ? { process, clients } : undefined;
};

const FIELDS: ReadonlySet<string> = new Set<keyof UsageEntry>([
  'client',
  'generation',
  'subscription',
  'outcome',
  'count',
  'first',
  'last',
]);

const isEntry = (value: unknown): boolean => {
  if (!isObject<UsageEntry>(value) || !Object.keys(value).every((field) => FIELDS.has(field))) return false;
  const { client, generation, subscription, outcome, count, first, last } = value;
  return (
    isClientId(client) &&
    (generation == null || (isInt(generation) && min(generation, 1))) &&
    (subscription == null || isSubscriptionId(subscription)) &&
    USAGE_OUTCOMES.includes(outcome) &&
    isInt(count) &&
    min(count, 1) &&
    isInstant(last) &&
    (first === undefined || (isInstant(first) && first <= last))
  );
};

class UsageRecordedV2 implements Recorded {
  @IsOwnId() process!: string;
  @IsList('isUsageEntries', (value) => Array.isArray(value) && value.every(isEntry)) entries!: readonly UsageEntry[];
  @IsInt() @Min(0) unknownClients!: number;
}

export const usageVersions: VersionsOf<UsageRecorded> = {
  UsageRecorded: [
    { schema: UsageRecordedV1, upcast: withEntries },
    { schema: UsageRecordedV2, downcast: withClients },
  ],
};
