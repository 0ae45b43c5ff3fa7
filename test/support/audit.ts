import { join } from 'node:path';
import type { EventLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type Position, type RecordedEvent, verifyChain } from '#events';
import {
  type Projection,
  type ReadStore,
  type StoredDocument,
  clients,
  foldInto,
  followed,
  projections,
  subscriptions,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';
import { endOfLog } from './end-of-log.js';
import { eventually } from './http.js';

/** The event log in a standalone's directory, whether the standalone runs or not. */
export async function withEventLog<T>(dataDir: string, use: (log: EventLog) => Promise<T>): Promise<T> {
  const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

/** Every event that is in the directory's log, in order. */
export const eventsIn = (dataDir: string): Promise<RecordedEvent[]> =>
  withEventLog(dataDir, (log) => log.readAll({ limit: Infinity }));

/** No event and no command is in the log twice, and the hash chain of each stream is whole. */
export async function expectSoundLog(events: readonly RecordedEvent[]): Promise<void> {
  expect(repeated(events.map(({ eventId }) => eventId))).toEqual([]);
  // A command decides one event of a client or a subscription; keys and claims have commands of several.
  const decided = events.filter(({ stream }) => /^(consumerClient|subscription)-/.test(stream));
  expect(repeated(decided.map(({ metadata }) => metadata.commandId))).toEqual([]);
  for (const [stream, ofStream] of byStream(events)) {
    expect({ stream, ...(await verifyChain(stream, ofStream)) }).toMatchObject({ stream, whole: true });
  }
}

/** The documents that are served are what a plain fold of the log makes, one by one, and nothing else. */
export async function expectReadModelsToBeTheFold(dataDir: string, events: readonly RecordedEvent[]): Promise<void> {
  const store = await openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
  try {
    await expectStoreToBeTheFold(store, events);
  } finally {
    await store.close();
  }
}

/** The same of a store that is open; `readModels`: those of another release than this one. */
export async function expectStoreToBeTheFold(
  store: ReadStore,
  events: readonly RecordedEvent[],
  readModels = projections,
): Promise<void> {
  for (const projection of readModels) await expectFold(store, projection, events);
}

/** Waits until the read models of a standalone that runs hold everything that is in its log now. */
export async function readModelsCaughtUp(dataDir: string): Promise<void> {
  const end = await withEventLog(dataDir, endOfLog);
  const store = await openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
  try {
    await storeCaughtUp(store, end);
  } finally {
    await store.close();
  }
}

/** Waits until each read model that is served has come to this position. */
export async function storeCaughtUp(
  store: ReadStore,
  end: Position | undefined,
  readModels = projections,
): Promise<void> {
  for (const { name, version } of readModels) {
    await eventually(
      async () => {
        const build = await store.served(name, version);
        return { name, end, reached: build && (await store.checkpoint(build))?.position };
      },
      ({ reached }) => reached === end,
    );
  }
}

/** `<clientId>/<subscriptionId>` of every assignment to a subscription that has ended. */
export function assignmentsToEnded(events: readonly RecordedEvent[]): string[] {
  const registered = [...fold(subscriptions, events).values()];
  const ended = new Set(registered.filter(({ doc }) => doc.status === 'ENDED').map(({ id }) => id));
  return [...fold(clients, events).values()].flatMap(({ id: clientId, doc }) =>
    doc.subscriptionIds.filter((id) => ended.has(id)).map((id) => `${clientId}/${id}`),
  );
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
