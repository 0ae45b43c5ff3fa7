import { join } from 'node:path';
import { type EventLog, followed } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type Position, type RecordedEvent, verifyChain } from '#events';
import { foldInto, type Projection, projections, readModels, type ReadStore, type StoredDocument } from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { eventually } from '../api/http.js';
import { endOfLog } from './end-of-log.js';

const { clients, subscriptions } = projections;

/**
 * Opens the event log in the data directory of a standalone process (all apps in one), and closes the log after `use`.
 * The process may be running.
 */
export async function withEventLog<T>(dataDir: string, use: (log: EventLog) => Promise<T>): Promise<T> {
  const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

/** Returns all events of the log in this data directory, in order. */
export const eventsIn = (dataDir: string): Promise<RecordedEvent[]> =>
  withEventLog(dataDir, (log) => log.readAll({ limit: Infinity }));

/**
 * Expects that no event id occurs twice, that no command on a client or a subscription was written twice, and that the
 * hash chain of each stream is unbroken.
 */
export async function expectSoundLog(events: readonly RecordedEvent[]): Promise<void> {
  expect(repeated(events.map(({ eventId }) => eventId))).toEqual([]);
  // A command on a client or a subscription writes exactly one event. A command on keys or endpoint URIs may write
  // several events, so the streams of keys and endpoint URIs are left out here.
  const decided = events.filter(({ stream }) => /^(consumerClient|subscription)-/.test(stream));
  expect(repeated(decided.map(({ metadata }) => metadata.commandId))).toEqual([]);
  for (const [stream, ofStream] of byStream(events)) {
    expect({ stream, ...(await verifyChain(stream, ofStream)) }).toMatchObject({ stream, whole: true });
  }
}

/** Expects that the read models of this data directory are exactly what a fresh fold of the log's events gives. */
export async function expectReadModelsToBeTheFold(dataDir: string, events: readonly RecordedEvent[]): Promise<void> {
  await withReadStore(dataDir, (store) => expectStoreToBeTheFold(store, events));
}

/**
 * Expects that the read models of an open store are exactly what a fresh fold of the log's events gives. To check the
 * store of another release, pass that release's read models as `ofRelease`.
 */
export async function expectStoreToBeTheFold(
  store: ReadStore,
  events: readonly RecordedEvent[],
  ofRelease: readonly Projection[] = readModels,
): Promise<void> {
  for (const projection of ofRelease) await expectFold(store, projection, events);
}

/**
 * Waits until the read models of a running standalone process (all apps in one) include everything that is in the log
 * now.
 */
export async function readModelsCaughtUp(dataDir: string): Promise<void> {
  const end = await withEventLog(dataDir, endOfLog);
  await withReadStore(dataDir, (store) => storeCaughtUp(store, end));
}

/**
 * Waits until each served read model has reached the position `end`. To wait for the store of another release, pass
 * that release's read models as `ofRelease`.
 */
export async function storeCaughtUp(
  store: ReadStore,
  end: Position | undefined,
  ofRelease: readonly Projection[] = readModels,
): Promise<void> {
  for (const { name, version } of ofRelease) {
    await eventually(
      async () => {
        const build = await store.served(name, version);
        return { name, end, reached: build && (await store.checkpoint(build))?.position };
      },
      ({ reached = '' }) => end === undefined || reached >= end,
    );
  }
}

/** Returns every assignment of a client to an ended subscription, as `<clientId>/<subscriptionId>`. */
export function assignmentsToEnded(events: readonly RecordedEvent[]): string[] {
  const registered = [...fold(subscriptions, events).values()];
  const ended = new Set(registered.filter(({ doc }) => doc.status === 'ENDED').map(({ id }) => id));
  return [...fold(clients, events).values()].flatMap(({ id: clientId, doc }) =>
    doc.subscriptionIds.filter((id) => ended.has(id)).map((id) => `${clientId}/${id}`),
  );
}

async function withReadStore(dataDir: string, use: (store: ReadStore) => Promise<void>): Promise<void> {
  const store = await openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

async function expectFold<Doc>(
  store: ReadStore,
  projection: Projection<Doc>,
  events: readonly RecordedEvent[],
): Promise<void> {
  const build = await store.served(projection.name, projection.version);
  if (build === undefined) throw new Error(`No build of ${projection.name} is served`);
  const served: StoredDocument<Doc>[] = [];
  let page: StoredDocument<Doc>[];
  do {
    page = await store.scan<Doc>(build, served.at(-1)?.id, 500);
    served.push(...page);
  } while (page.length > 0);
  const folded = [...fold(projection, events).values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  expect({ projection: projection.name, documents: served }).toEqual({
    projection: projection.name,
    documents: folded,
  });
}

function fold<Doc>(projection: Projection<Doc>, events: readonly RecordedEvent[]): Map<string, StoredDocument<Doc>> {
  const documents = new Map<string, StoredDocument<Doc>>();
  for (const event of events.map(followed)) {
    for (const id of projection.documentsOf(event)) {
      const document = foldInto(projection, documents.get(id), event, id);
      if (document) documents.set(id, document);
    }
  }
  return documents;
}

function byStream(events: readonly RecordedEvent[]): Map<string, RecordedEvent[]> {
  const streams = new Map<string, RecordedEvent[]>();
  for (const event of events) {
    const known = streams.get(event.stream);
    if (known) known.push(event);
    else streams.set(event.stream, [event]);
  }
  return streams;
}

function repeated(ids: readonly string[]): string[] {
  const seen = new Set<string>();
  return ids.filter((id) => seen.size === seen.add(id).size);
}
