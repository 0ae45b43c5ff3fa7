import { join } from 'node:path';
import { EventStoreDBClient } from '@eventstore/db-client';
import Database from 'libsql';
import { type BookOfRecord, type EventLog, LogUnavailable, openBookOfRecord } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { Projector } from '#read-models';
import { clientNamed, silent, Stage, storedDocuments, until } from '../../test/replay/stage.js';
import { startEventStore } from '../../test/servers/eventstoredb/event-store.js';
import { type AssignmentDocument, assignments, type ModelDocument } from './assignments.js';
import type { EndedSubscriptionsOptions } from './ended-subscriptions.js';
import type { FailedWork } from './process-manager.js';
import { SubscriptionEnds } from './subscription-ends.js';

const BUILD = 'assignments_v2_1';

describe('the process manager of ended subscriptions', () => {
  let stage: Stage;
  let running: Managed[];
  beforeEach(async () => {
    stage = await Stage.open();
    running = [];
  });
  afterEach(async () => {
    for (const managed of running) await managed.stop();
    await stage.close();
  });

  /** A process that feeds the model and runs the process manager. */
  class Managed {
    readonly failed: FailedWork['ids'][] = [];
    readonly done: FailedWork['ids'][] = [];
    outages = 0;
    readonly ends: SubscriptionEnds;
    private readonly stopping = new AbortController();
    private readonly ended: Promise<void>;

    constructor(book: BookOfRecord, options: EndedSubscriptionsOptions = {}) {
      const observer = {
        outageBegan: () => (this.outages += 1),
        outageEnded: () => undefined,
        failed: ({ ids }: FailedWork) => this.failed.push(ids),
        done: ({ ids }: FailedWork) => this.done.push(ids),
      };
      const { store: readStore, now: clock } = stage;
      this.ends = new SubscriptionEnds({ book, readStore, clock, observer }, { longestPauseMs: 5, ...options });
      const { manage } = this.ends;
      const feed = { ...stage.stores, log: book.log, projection: assignments, observer: silent };
      this.ended = new Projector({ ...feed, build: BUILD, manage }).run(this.stopping.signal);
      running.push(this);
    }

    async stop(): Promise<void> {
      this.stopping.abort();
      await this.ended;
    }

    get lasting(): unknown {
      return this.ends.status().lasting.map(({ ids }) => ids);
    }
  }

  /** Another process's view of the log: its cache is empty, and a test can change how it reads. */
  const bookOn = (change: Partial<EventLog> = {}): Promise<BookOfRecord> =>
    openBookOfRecord(Object.assign(Object.create(stage.log) as EventLog, change), stage.now);

  /** A log on which the reads of these streams fail. */
  const withUnreadable = (streams: ReadonlySet<string>): Promise<BookOfRecord> =>
    bookOn({
      readStream: (stream, options) =>
        streams.has(stream)
          ? Promise.reject(new LogUnavailable(`${stream} can't be read`))
          : stage.log.readStream(stream, options),
    });

  /** Registers a subscription with this number of clients. */
  const subscriptionWith = async (id: string, clients: number): Promise<void> => {
    await stage.register(id);
    for (let n = 0; n < clients; n++) {
      await stage.create(n);
      await stage.assign(n, id);
    }
  };

  const end = (id: string) =>
    stage.subscription(id, { type: 'EndSubscription', workspaceId: 'acme', reason: 'over', at: stage.at() });

  const stillAssigned = async (): Promise<string[]> => {
    const documents = [...(await storedDocuments<ModelDocument>(stage.store, BUILD)).values()];
    const assigned = documents.filter(({ doc }) => (doc as AssignmentDocument).assigned);
    return assigned.map(({ id }) => id);
  };

  /** Waits until the model holds every event, and these clients are the only ones of the subscription `weather`. */
  const untilAssigned = (...labels: readonly (string | number)[]): Promise<void> =>
    until(async () => {
      const [last] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
      const checkpoint = await stage.store.checkpoint(BUILD).catch(() => undefined);
      if (checkpoint?.position !== last?.position) return false;
      return (await stillAssigned()).join() === labels.map((label) => `${clientNamed(label)}/weather`).join();
    });

  const weather = (label: string | number) => ({ clientId: clientNamed(label), subscriptionId: 'weather' });
  const streamNamed = (label: string | number) => `consumerClient-${clientNamed(label)}`;

  /** Replaces the data of a client's first event in the file, as a fault of the disk might. Returns how to repair it. */
  const damage = (label: string | number): (() => void) => {
    const inFile = (use: (db: Database.Database) => void) => {
      const db = new Database(join(stage.directory, 'events.db'));
      db.exec('DROP TRIGGER IF EXISTS events_are_never_changed');
      use(db);
      db.close();
    };
    const update = 'UPDATE events SET data = ? WHERE stream = ? AND revision = 0';
    let intact: string | undefined;
    inFile((db) => {
      const select = 'SELECT data FROM events WHERE stream = ? AND revision = 0';
      [intact] = db
        .prepare(select)
        .raw()
        .get([streamNamed(label)]) as [string];
      db.prepare(update).run([`{"clientId": ${intact}`, streamNamed(label)]);
    });
    return () => {
      inFile((db) => db.prepare(update).run([intact, streamNamed(label)]));
    };
  };

  it('unassigns all others when a client’s stream is damaged, tries it again after a restart, and ends when it is repaired', async () => {
    await subscriptionWith('weather', 20);
    const before = new Managed(await bookOn());
    await until(async () => (await stillAssigned().catch(() => [])).length === 20);
    await before.stop();
    const repair = damage(3);
    await end('weather');

    const first = new Managed(await bookOn());
    await untilAssigned(3);
    await until(() => first.ends.status().lasting.length > 0);
    expect(first.lasting).toEqual([weather(3)]);
    expect(first.ends.status()).toMatchObject({ failing: 1 });
    expect(first.ends.status().failedAttempts).toBeGreaterThanOrEqual(10);
    expect(first.failed).toEqual([weather(3)]);
    expect(first.outages).toBe(0);
    const [{ error } = { error: undefined }] = first.ends.status().lasting;
    expect(error).toEqual(new LogUnavailable(`Revision 0 of ${streamNamed(3)} is damaged in the file`));
    const checkpoint = await stage.store.checkpoint(BUILD);
    expect(checkpoint?.position).toBe((await stage.log.readAll({ direction: 'backwards', limit: 1 }))[0]?.position);
    await first.stop();
    expect(first.ends.status()).toMatchObject({ failing: 0, lasting: [] });

    const second = new Managed(await bookOn());
    await until(() => second.ends.status().lasting.length > 0);
    await end('weather');
    repair();
    await untilAssigned();
    await until(() => second.done.length > 0);
    expect(second.ends.status()).toMatchObject({ failing: 0, lasting: [] });
    expect(second.done).toEqual([weather(3)]);
    const unassigned = (await stage.events()).filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');
    expect(new Set(unassigned.map(({ stream }) => stream)).size).toBe(20);
    expect(unassigned).toHaveLength(20);
  });

  it('unassigns all others when a client’s stream was deleted for ever in EventStoreDB', async () => {
    const store = await startEventStore();
    const { log: sqlite } = stage;
    const log = openEventStoreDbLog({ url: store.url });
    stage = Object.assign(Object.create(stage) as Stage, { book: await openBookOfRecord(log, stage.now) });
    const client = EventStoreDBClient.connectionString(store.url);
    try {
      await subscriptionWith('weather', 5);
      const managed = new Managed(await bookOn());
      await until(async () => (await stillAssigned().catch(() => [])).length === 5);
      await client.tombstoneStream(streamNamed(2));
      await end('weather');
      await untilAssigned(2);
      await until(() => managed.ends.status().lasting.length > 0);
      expect(managed.lasting).toEqual([weather(2)]);
      expect(managed.outages).toBe(0);
      await managed.stop();
    } finally {
      await client.dispose();
      await sqlite.close();
      await store.stop();
    }
  });

  it('tries a subscription again whose own stream can’t be read, and goes on with others', async () => {
    await subscriptionWith('weather', 3);
    await stage.register('tides');
    await stage.assign(0, 'tides');
    const unreadable = new Set(['subscription-weather']);
    const managed = new Managed(await withUnreadable(unreadable));
    await end('weather');
    await end('tides');
    await until(() => managed.ends.status().lasting.length > 0);
    await untilAssigned(0, 1, 2);
    expect(managed.lasting).toEqual([{ subscriptionId: 'weather' }]);
    unreadable.clear();
    await untilAssigned();
    await until(() => managed.ends.status().failing === 0);
  });

  it('unassigns the client of another subscription promptly while many clients of one fail slowly', async () => {
    const CROWD = 120;
    await subscriptionWith('weather', CROWD);
    await stage.register('tides');
    await stage.create('good');
    await stage.assign('good', 'tides');
    const slow = new Set(Array.from({ length: CROWD }, (_, n) => streamNamed(n)));
    let asked = 0;
    const managed = new Managed(
      await bookOn({
        readStream: async (stream, options) => {
          if (!slow.has(stream)) return stage.log.readStream(stream, options);
          asked += 1;
          await new Promise((resolve) => setTimeout(resolve, options?.deadlineMs));
          throw new LogUnavailable(`${stream} did not come in time`);
        },
      }),
    );
    await end('weather');
    await until(() => asked >= 12);
    await end('tides');
    await until(async () => !(await stillAssigned()).includes(`${clientNamed('good')}/tides`));
    expect(managed.outages).toBe(0);
    expect(managed.ends.status().failing).toBeLessThanOrEqual(3 * 12);
    await until(() => managed.ends.status().failing > 3 * 12);
  });

  it('undoes an assignment that came after the end, also if it came while no process manager ran', async () => {
    await subscriptionWith('weather', 2);
    for (const label of ['late', 'later']) await stage.create(label);
    const { state: live } = await stage.book.subscriptions.read('weather');
    const assignAsLive = (label: string) =>
      stage.client(clientNamed(label), {
        ...{ type: 'AssignToSubscription', workspaceId: 'acme', subscription: live, at: stage.at() },
      });
    await end('weather');
    await assignAsLive('late');
    const managed = new Managed(await bookOn());
    await untilAssigned();
    // Each assignment is undone, even if the process manager has unassigned the same client before.
    for (const label of ['late', 'later', 'late']) {
      await assignAsLive(label);
      await until(
        async () => (await stage.log.readStream(streamNamed(label))).at(-1)?.data.reason === 'SUBSCRIPTION_ENDED',
      );
      await untilAssigned();
    }
    expect(managed.ends.status().failedAttempts).toBe(0);
  });

  it('counts no attempt of a client while the whole log does not answer, and shows the outage', async () => {
    await subscriptionWith('weather', 40);
    let isAway = false;
    const refuse = () => Promise.reject(new LogUnavailable('The log is away'));
    const book = await bookOn({
      readStream: (...call) => (isAway ? refuse() : stage.log.readStream(...call)),
      append: (...call) => (isAway ? refuse() : stage.log.append(...call)),
    });
    const managed = new Managed(book);
    await until(async () => (await stillAssigned().catch(() => [])).length === 40);
    isAway = true;
    await end('weather');
    await until(() => managed.outages > 0);
    expect(managed.ends.status().outage?.message).toBe('The log is away');
    isAway = false;
    await untilAssigned();
    await until(() => managed.ends.status().outage === undefined);
    expect(managed.ends.status()).toEqual({ failing: 0, failedAttempts: 0, lasting: [] });
    expect(managed.failed).toEqual([]);
  });

  it('counts no attempt of a client while the log can be read but accepts nothing', async () => {
    await subscriptionWith('weather', 10);
    let isFull = true;
    const book = await bookOn({
      append: (...call) =>
        isFull ? Promise.reject(new LogUnavailable('The disk is full')) : stage.log.append(...call),
    });
    const managed = new Managed(book);
    await end('weather');
    await until(() => managed.outages > 0);
    isFull = false;
    await untilAssigned();
    expect(managed.ends.status().failedAttempts).toBe(0);
  });

  it('remembers a bounded number of failures, and still ends when all clients can be read again', async () => {
    const CLIENTS = 30;
    await subscriptionWith('weather', CLIENTS);
    const unreadable = new Set(Array.from({ length: CLIENTS - 1 }, (_, n) => streamNamed(n)));
    const managed = new Managed(await withUnreadable(unreadable), { maxSize: 5 });
    await end('weather');
    await until(() => managed.ends.status().lasting.length === 5);
    expect(managed.ends.status().failing).toBe(5);
    expect(await stillAssigned()).toHaveLength(CLIENTS - 1);
    unreadable.clear();
    await untilAssigned();
    await until(() => managed.ends.status().failing === 0);
  });

  it('forgets a client that was revoked or unassigned meanwhile', async () => {
    await subscriptionWith('weather', 2);
    const unreadable = new Set([streamNamed(0), streamNamed(1)]);
    const managed = new Managed(await withUnreadable(unreadable));
    await end('weather');
    await until(() => managed.ends.status().lasting.length === 2);
    await stage.revoke(0);
    await stage.client(clientNamed(1), {
      ...{ type: 'UnassignFromSubscription', workspaceId: 'acme', subscriptionId: 'weather', reason: 'REQUESTED' },
      at: stage.at(),
    });
    await until(() => managed.ends.status().failing === 0);
  });

  it('unassigns each client once if two processes work at the same time', async () => {
    await subscriptionWith('weather', 60);
    const both = [new Managed(await bookOn()), new Managed(await bookOn())];
    await end('weather');
    await untilAssigned();
    const unassigned = (await stage.events()).filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');
    expect(unassigned).toHaveLength(60);
    for (const { ends } of both) await until(() => ends.status().failing === 0);
  });

  it('stops before it has unassigned all clients, when its process stops', async () => {
    await subscriptionWith('weather', 100);
    let appends = 0;
    const managed = new Managed(
      await bookOn({
        append: async (...call) => {
          appends += 1;
          if (appends === 3) void managed.stop();
          return stage.log.append(...call);
        },
      }),
    );
    await end('weather');
    await until(() => appends >= 3);
    await managed.stop();
    expect(appends).toBeLessThan(20);
    const next = new Managed(await bookOn());
    await untilAssigned();
    expect(next.ends.status().failedAttempts).toBe(0);
  });
});
