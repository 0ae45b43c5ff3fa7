import { type ClientId, type Instant, secondsAfter } from '#domain';
import type { FollowedEvent } from '#event-log';
import type { UsageEntry, UsageRecorded } from '#events';
import type { DocumentSchema } from '../document-schema.js';
import type { ReadModel } from './projection.js';

/** When a generation of a client's credential, or a token that was issued for it, was last used. */
export interface GenerationUsage {
  readonly generation: number;
  readonly lastUsedAt: Instant;
}

/**
 * When a client was last used. Only uses that succeeded count: a login, a refresh, or a call that the gateway check let
 * through. A client that was never used has no document. A use is recorded up to a minute late; later if the event log
 * was unavailable.
 */
export interface UsageDocument {
  readonly clientId: ClientId;
  readonly lastUsedAt: Instant;
  /**
   * The generations that were used, the oldest first; at most the `MAX_GENERATIONS` newest. A use whose generation was
   * not recorded counts for the client only.
   */
  readonly generations: readonly GenerationUsage[];
}

/** At most two generations of a client are good at a time. The others tell when an older one was last used. */
const MAX_GENERATIONS = 10;

const document: DocumentSchema<UsageDocument> = {
  fields: {
    clientId: 'string',
    lastUsedAt: 'string',
    generations: {
      listOf: {
        fields: { generation: 'integer', lastUsedAt: 'string' },
      } satisfies DocumentSchema<GenerationUsage>,
    },
  },
};

/** Every use that succeeded, by client. An event may hold thousands of clients, so each event is sorted once. */
const usesByClient = new WeakMap<UsageRecorded['data'], ReadonlyMap<string, readonly UsageEntry[]>>();

function usesOf(data: UsageRecorded['data']): ReadonlyMap<string, readonly UsageEntry[]> {
  const known = usesByClient.get(data);
  if (known) return known;
  const uses = new Map<string, UsageEntry[]>();
  for (const entry of data.entries) {
    if (entry.outcome !== 'OK') continue;
    const ofClient = uses.get(entry.client);
    if (ofClient) ofClient.push(entry);
    else uses.set(entry.client, [entry]);
  }
  usesByClient.set(data, uses);
  return uses;
}

/** Seconds. No record is expected to reach the log later than this: it waits while the log is unavailable. */
const LATEST_RECORD_SECONDS = 86_400;

/**
 * Returns when something was last used, after an event that was recorded at `recordedAt` tells of a use at `used`.
 *
 * The later time wins, not the later event: the events of several processes come in any order. Usually they come within
 * a minute. But an event whose append failed is sent again unchanged, with the `recordedAt` of the first attempt, so it
 * comes after an outage of the log, however long that was.
 *
 * No use is later than its record. If one seems to be, the clock was ahead when it was counted, and the time of the
 * record is the closest known. If the known time is more than a day later than this record, the clock was ahead at an
 * earlier record, and the new use replaces it: otherwise the wrong time would stay until it has passed. Within a day,
 * the known time stays, because this record may be an older one that was sent again.
 */
const latestUse = (known: Instant | undefined, used: Instant, recordedAt: Instant): Instant => {
  const last = used < recordedAt ? used : recordedAt;
  const isWrong = (time: Instant) => secondsAfter(recordedAt, LATEST_RECORD_SECONDS) < time;
  return known === undefined || known < last || isWrong(known) ? last : known;
};

const withUse = (usage: UsageDocument, { generation, last }: UsageEntry, recordedAt: Instant): UsageDocument => {
  const lastUsedAt = latestUse(usage.lastUsedAt, last, recordedAt);
  if (generation == null) return { ...usage, lastUsedAt };
  const before = usage.generations.find((known) => known.generation === generation);
  const generations = [
    ...usage.generations.filter((known) => known !== before),
    { generation, lastUsedAt: latestUse(before?.lastUsedAt, last, recordedAt) },
  ].sort((a, b) => a.generation - b.generation);
  return { ...usage, lastUsedAt, generations: generations.slice(-MAX_GENERATIONS) };
};

const apply = (usage: UsageDocument | undefined, event: FollowedEvent, id: string): UsageDocument => {
  const uses = event.type === 'UsageRecorded' ? (usesOf(event.data).get(id) ?? []) : [];
  const [first] = uses;
  if (!first) throw new Error(`${event.type} tells no use of the client`);
  const { occurredAt } = event.metadata;
  const initial = { clientId: first.client, lastUsedAt: latestUse(undefined, first.last, occurredAt), generations: [] };
  return uses.reduce((folded, use) => withUse(folded, use, occurredAt), usage ?? initial);
};

/** One document per client that was used. The events of all auth processes are folded into it. */
export const usage: ReadModel<UsageDocument> = {
  name: 'usage',
  version: 2,
  streams: ['usage-'],
  indexes: [],
  document,
  views: [{ name: 'client_usage', equals: {} }],
  list: { sorts: {} },
  documentsOf: (event) => (event.type === 'UsageRecorded' ? [...usesOf(event.data).keys()] : []),
  apply,
  count: 'NOT_COUNTED',
};
