import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type EventLog,
  internalContext,
  openBookOfRecord,
  type OutageObserver,
  quarantineStream,
  unreadableEvent,
} from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { RecordedEvent } from '#events';
import { startEventStore } from '../../test/servers/eventstoredb/event-store.js';
import { newEvent } from '../../test/support/events/new-events.js';
import { type FeedPage, FollowedFeed, LeafCounts } from './index.js';

const UNOBSERVED: OutageObserver = { outageBegan: () => undefined, outageEnded: () => undefined };
/** A tree of which nothing is stored yet, so that all leaves are counted. */
const EMPTY_TREE = { tileBefore: () => Promise.resolve(undefined) };

const feedOf = (log: EventLog) => new FollowedFeed(log, new LeafCounts(log, EMPTY_TREE), UNOBSERVED);

const eventsOf = (workspaceId: string, count: number) =>
  Array.from({ length: count }, () => {
    const event = newEvent();
    return { ...event, metadata: { ...event.metadata, workspaceId } };
  });

/** Appends events to a new stream. Returns their ids. */
async function append(log: EventLog, name: string, count: number, workspaceId = 'acme'): Promise<string[]> {
  const events = eventsOf(workspaceId, count);
  await log.append(`consumerClient-${name}`, 'none', events);
  return events.map(({ eventId }) => eventId);
}

const stores = {
  SQLite: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'feed-'));
    const log = await openSqliteEventLog({ file: join(directory, 'events.db') });
    return { log, remove: () => rm(directory, { recursive: true }) };
  },
  EventStoreDB: async () => {
    const server = await startEventStore();
    return { log: openEventStoreDbLog({ url: server.url }), remove: () => server.stop() };
  },
};

describe.each(Object.entries(stores))('The feed from %s', (_, open) => {
  let log: EventLog;
  let remove: () => Promise<unknown>;
  let stopping: AbortController;
  beforeEach(async () => {
    ({ log, remove } = await open());
    stopping = new AbortController();
    await openBookOfRecord(log, () => new Date());
  });
  afterEach(async () => {
    stopping.abort();
    await log.close();
    await remove();
  });

  const follow = (feed: FollowedFeed, idleMs = 60_000) =>
    feed.follow({ workspaceId: 'acme', after: undefined, idleMs, signal: stopping.signal });

  /** Reads pages until they have shown so many events. */
  async function read(pages: AsyncGenerator<FeedPage, void>, count: number) {
    const shown: RecordedEvent[] = [];
    while (shown.length < count) {
      const next = await pages.next();
      if (next.done) break;
      shown.push(...next.value.events.map(({ event }) => event));
    }
    return shown;
  }

  it('shows each event once and in order while others write at the end of the log', async () => {
    const feed = feedOf(log);
    const [early, late] = [follow(feed), follow(feed)];
    const first = await append(log, 'first', 1);
    const begun = await read(early, 1);
    const writing = Promise.all(
      Array.from({ length: 4 }, async (_each, writer) => {
        const ids: string[] = [];
        for (let each = 0; each < 15; each += 1) {
          ids.push(...(await append(log, `${writer}-${each}`, 3)));
          await append(log, `other-${writer}-${each}`, 1, 'initech');
        }
        return ids;
      }),
    );
    const [seen, polled] = await Promise.all([read(early, 180), read(late, 181)]);
    const written = (await writing).flat();
    expect(polled).toEqual([...begun, ...seen]);
    const positions = polled.map(({ position }) => position);
    expect(positions).toEqual([...new Set(positions)].sort());
    expect(polled.map(({ eventId }) => eventId).sort()).toEqual([...first, ...written].sort());
  });

  it('looks at 2,000 events for a page, and says where it goes on', async () => {
    for (let each = 0; each < 21; each += 1) await append(log, `other-${each}`, 100, 'initech');
    const own = await append(log, 'own', 1);
    const feed = feedOf(log);
    const page = await feed.page({ workspaceId: 'acme', after: undefined, limit: 10 });
    expect([page.events, page.isAtEnd]).toEqual([[], false]);
    const rest = await feed.page({ workspaceId: 'acme', after: page.next, limit: 10 });
    expect([rest.events.map(({ event }) => event.eventId), rest.isAtEnd]).toEqual([own, true]);
    // Leaf indexes are counted through the pages: LogCreated is leaf 0.
    expect(rest.events.map(({ leafIndex }) => leafIndex)).toEqual([2_101]);
    const fresh = await feedOf(log).page({ workspaceId: 'acme', after: page.next, limit: 10 });
    expect(fresh).toEqual(rest);
  });

  it('gives a caller that was away for longer than the last events are kept all of them', async () => {
    const feed = feedOf(log);
    const slow = follow(feed);
    const watching = follow(feed);
    const ids = await append(log, 'first', 1);
    await read(slow, 1);
    await read(watching, 1);
    for (let each = 0; each < 15; each += 1) ids.push(...(await append(log, `later-${each}`, 100)));
    await read(watching, 1_500);
    expect((await read(slow, 1_500)).map(({ eventId }) => eventId)).toEqual(ids.slice(1));
  });

  it('comes with empty pages while nothing happens, and ends when it is told to', async () => {
    const pages = follow(feedOf(log), 20);
    expect((await pages.next()).value).toMatchObject({ events: [], isAtEnd: true });
    const next = pages.next();
    stopping.abort();
    await next;
    expect(await pages.next()).toEqual({ done: true, value: undefined });
  });

  it('ends before an event that can not be read, and goes on when its stream is quarantined', async () => {
    const [before] = await append(log, 'before', 1);
    await append(log, 'damaged', 1);
    const [after] = await append(log, 'after', 1);
    const damaged: EventLog = Object.create(log, {
      readAll: {
        value: async (options: Parameters<EventLog['readAll']>[0]) =>
          (await log.readAll(options)).map((event) =>
            event.stream === 'consumerClient-damaged' ? unreadableEvent(event, new Error('Damaged')) : event,
          ),
      },
    }) as EventLog;
    const feed = feedOf(damaged);
    const page = await feed.page({ workspaceId: 'acme', after: undefined, limit: 10 });
    expect([page.events.map(({ event }) => event.eventId), page.isAtEnd]).toEqual([[before], false]);
    const ask = () => feed.page({ workspaceId: 'acme', after: page.next, limit: 10 });
    await expect(ask()).rejects.toThrow('Damaged');
    await quarantineStream(
      log,
      { stream: 'consumerClient-damaged', lastRevision: 0n },
      {
        ...{ reason: 'Damaged', context: internalContext({ via: 'cli' }), now: () => new Date() },
      },
    );
    expect((await ask()).events.map(({ event }) => event.eventId)).toEqual([after]);
  });
});
