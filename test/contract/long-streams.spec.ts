import { hash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClientId } from '#credentials';
import { type ClientId, consumerClient } from '#domain';
import {
  type BookOfRecord,
  type EventLog,
  LOG_TIME_BUDGET_MS,
  LogUnavailable,
  MAX_APPEND_BYTES,
  openBookOfRecord,
  readLogId,
  snapshotName,
  type SnapshotStore,
} from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { startEventStore } from '../servers/eventstoredb/event-store.js';
import { eventually } from '../support/api/http.js';
import { appendClientWithTokens, appendLongClient, contextOf } from '../support/events/long-client.js';
import { newEvents } from '../support/events/new-events.js';

const AT = '2026-01-01T00:00:00.000Z';
const EVENTS = 2_250;

const nameOf = (stream: string): string => snapshotName(stream, consumerClient.stateVersion);

const folder = mkdtempSync(join(tmpdir(), 'long-streams-'));
let server: Promise<Awaited<ReturnType<typeof startEventStore>>> | undefined;

const stores: [name: string, open: () => Promise<EventLog>][] = [
  ['SQLite', () => openSqliteEventLog({ file: join(folder, 'events.db') })],
  [
    "EventStoreDB's stand-in",
    async () => {
      server ??= startEventStore();
      return openEventStoreDbLog({ url: (await server).url });
    },
  ],
];

afterAll(async () => {
  await (await server)?.stop();
  rmSync(folder, { recursive: true });
});

describe.each(stores)('a client with a long stream on %s', (_name, openLog) => {
  let log: EventLog;
  let opened: EventLog[];
  let clientId: ClientId;
  let stream: string;
  let commandIds: string[];

  beforeEach(async () => {
    opened = [];
    log = await open();
    clientId = newClientId();
    stream = consumerClient.stream(clientId);
    commandIds = await appendLongClient(log, clientId, EVENTS);
    await readAndWaitForSnapshot();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    for (const one of opened) await one.close();
  });

  const open = async () => {
    const one = await openLog();
    opened.push(one);
    return one;
  };
  const openBook = (one: EventLog) => openBookOfRecord(one, () => new Date(AT));

  /** Opens the log as a new process does, and counts the events that it reads from the client's stream. */
  const newProcess = async () => {
    const own = await open();
    let events = 0;
    const readStream = own.readStream.bind(own);
    jest.spyOn(own, 'readStream').mockImplementation(async (name, options) => {
      const read = await readStream(name, options);
      if (name === stream) events += read.length;
      return read;
    });
    return { own, book: await openBook(own), eventsRead: () => events };
  };

  /** The snapshot's text is a checksum of 64 characters, and then JSON. */
  const contentOf = (text: string) =>
    JSON.parse(text.slice(64)) as { revision: string; states: [revision: number, part: number][] };
  const checked = (content: object) => {
    const json = JSON.stringify(content);
    return hash('sha256', json) + json;
  };
  const changed = (text: string, fields: object) => checked({ ...contentOf(text), ...fields });
  const readAndWaitForSnapshot = async () => {
    await (await openBook(log)).clients.read(clientId);
    // A snapshot is written about every 500 events.
    await eventually(
      async () =>
        Number(contentOf((await log.snapshots.read(nameOf(stream))) ?? `${' '.repeat(64)}{"revision":"0"}`).revision),
      (revision) => revision > EVENTS - 1_000,
    );
  };

  const rename = ({ clients }: BookOfRecord, name: string, commandId: string, isNew = false) => {
    const command = { type: 'DescribeClient', workspaceId: 'acme', name, at: AT } as const;
    return clients.execute(clientId, command, { context: contextOf(commandId), isNew });
  };
  /** Returns the log with another store of snapshots, which differs in some methods. */
  const withSnapshots = (own: EventLog, changed: Partial<SnapshotStore>): EventLog => {
    const snapshots: SnapshotStore = {
      read: (...call) => own.snapshots.read(...call),
      write: (...call) => own.snapshots.write(...call),
      readPart: (...call) => own.snapshots.readPart(...call),
      writeParts: (...call) => own.snapshots.writeParts(...call),
      ...changed,
    };
    return Object.create(own, { snapshots: { value: snapshots } }) as EventLog;
  };

  /** From now on, time is later by this many milliseconds. */
  const passTime = (milliseconds: number) => {
    const now = performance.now.bind(performance);
    jest.spyOn(performance, 'now').mockImplementation(() => now() + milliseconds);
  };

  it('is shown as it was at any moment, from its snapshots and without reading the rest', async () => {
    const [first] = await log.readStream(stream, { limit: 1 });
    const places = [0, 99, 100, 499, 500, 1_234, EVENTS - 2, EVENTS - 1];
    for (const revision of places.map(BigInt)) {
      const [event] = await log.readStream(stream, { from: revision, limit: 1 });
      const { book, eventsRead } = await newProcess();
      const expected = { state: { name: `Name ${revision}` }, last: { revision, position: event?.position } };
      expect(await book.clients.asOf(clientId, { by: 'revision', revision })).toMatchObject(expected);
      const position = event?.position ?? '';
      expect(await book.clients.asOf(clientId, { by: 'position', position })).toMatchObject(expected);
      expect(eventsRead()).toBeLessThan(3_000);
    }
    const { book } = await newProcess();
    const at = first?.metadata.occurredAt ?? '';
    const byTime = (moment: string) => book.clients.asOf(clientId, { by: 'time', at: moment });
    expect((await byTime(at)).last?.revision).toBe(BigInt(EVENTS - 1));
    expect((await byTime('2025-12-31T23:59:59.999Z')).last).toBeUndefined();
  });

  it('is read from its snapshot, and can be renamed and revoked', async () => {
    const { book, eventsRead } = await newProcess();
    expect(await book.clients.read(clientId)).toMatchObject({
      revision: BigInt(EVENTS - 1),
      state: { name: `Name ${EVENTS - 1}`, subscriptions: new Map() },
    });
    expect(eventsRead()).toBeLessThan(1_200);
    await rename(book, 'Renamed', randomUUID(), true);
    const command = { type: 'RevokeClient', workspaceId: 'acme', reason: 'retired', at: AT } as const;
    expect(await book.clients.execute(clientId, command, { context: contextOf() })).toMatchObject({
      ...{ outcome: 'changed', revision: BigInt(EVENTS + 1), state: { status: 'REVOKED' } },
    });
    expect(eventsRead()).toBeLessThan(1_300);
  });

  it.each([1, 777, 1_555, EVENTS - 1])('answers a repetition of command %i with the state of that time', async (at) => {
    const { book, eventsRead } = await newProcess();
    expect(await rename(book, `Name ${at}`, commandIds[at] ?? '')).toMatchObject({
      ...{ outcome: 'repeated', revision: BigInt(at), state: { name: `Name ${at}` } },
    });
    expect(eventsRead()).toBeLessThan(2_400);
  });

  it('refuses the id of an early command for another command, and takes a new id', async () => {
    const { book } = await newProcess();
    const other = { ...contextOf(commandIds[1]), commandHash: '1'.repeat(64) };
    const command = { type: 'DescribeClient', workspaceId: 'acme', name: 'Other', at: AT } as const;
    await expect(book.clients.execute(clientId, command, { context: other })).rejects.toThrow(/another command/);
    expect(await rename(book, 'Other', randomUUID())).toMatchObject({ outcome: 'changed' });
  });

  it.each<[what: string, damage: (text: string) => string]>([
    ['damaged', (text) => text.replace('"Name', '"Nome')],
    ['cut off', (text) => text.slice(0, -10)],
    ['empty', () => ''],
    ['of another version of the state', (text) => changed(text, { stateVersion: consumerClient.stateVersion + 1 })],
    ['of another form', (text) => changed(text, { format: 2 })],
    ['of another log', (text) => changed(text, { logId: randomUUID() })],
    ['of another history', (text) => changed(text, { hash: 'f'.repeat(64) })],
  ])('is read from its events if the snapshot is %s', async (_what, damage) => {
    const { own, book, eventsRead } = await newProcess();
    await own.snapshots.write(nameOf(stream), damage((await own.snapshots.read(nameOf(stream))) ?? ''));
    expect(await book.clients.read(clientId)).toMatchObject({ state: { name: `Name ${EVENTS - 1}` } });
    expect(eventsRead()).toBeGreaterThanOrEqual(EVENTS);
  });

  it('is read from its events if the snapshot belongs to another client', async () => {
    const other = newClientId();
    await appendLongClient(log, other, 200);
    const { own, book } = await newProcess();
    await own.snapshots.write(nameOf(consumerClient.stream(other)), (await own.snapshots.read(nameOf(stream))) ?? '');
    expect(await book.clients.read(other)).toMatchObject({ revision: 199n, state: { clientId: other } });
  });

  it('answers a repetition from its events if the index of commands was lost or damaged', async () => {
    const damages: SnapshotStore['readPart'][] = [
      () => Promise.resolve(undefined),
      async (...call) => (await log.snapshots.readPart(...call))?.replace('entries":"', 'entries":"A'),
      (name) => log.snapshots.readPart(name, 0),
    ];
    for (const readPart of damages) {
      const { own } = await newProcess();
      let isDamaged = true;
      const read: SnapshotStore['readPart'] = (...call) =>
        isDamaged ? readPart(...call) : own.snapshots.readPart(...call);
      const book = await openBook(withSnapshots(own, { readPart: read }));
      expect(await rename(book, 'Name 2', commandIds[2] ?? '')).toMatchObject({ outcome: 'repeated', revision: 2n });
      isDamaged = false;
      expect(await rename(book, 'Name 1', commandIds[1] ?? '')).toMatchObject({ outcome: 'repeated', revision: 1n });
    }
  });

  it('is read and changed while the store takes and gives no snapshots', async () => {
    const { own } = await newProcess();
    const refuse = () => Promise.reject(new Error('refused'));
    const book = await openBook(
      withSnapshots(own, { read: refuse, write: refuse, readPart: refuse, writeParts: refuse }),
    );
    expect(await rename(book, 'Name 1', commandIds[1] ?? '')).toMatchObject({ outcome: 'repeated', revision: 1n });
    expect(await rename(book, 'Renamed', randomUUID())).toMatchObject({ outcome: 'changed' });
  });

  it('is read from its snapshot by a process that remembers an old state of it', async () => {
    const { own, eventsRead } = await newProcess();
    let fails = true;
    const unlessFailing = async <T>(read: () => Promise<T>): Promise<T> => {
      if (fails) throw new LogUnavailable('No answer');
      return read();
    };
    const slow = withSnapshots(own, { read: (...call) => unlessFailing(() => own.snapshots.read(...call)) });
    const book = await openBook(
      Object.create(slow, {
        readStream: {
          value: (...[name, options]: Parameters<EventLog['readStream']>) =>
            name === stream && options?.from !== 0n
              ? unlessFailing(() => own.readStream(name, options))
              : own.readStream(name, options),
        },
      }) as EventLog,
    );
    await expect(book.clients.read(clientId)).rejects.toThrow(LogUnavailable);
    expect(eventsRead()).toBe(100);
    fails = false;
    expect(await book.clients.read(clientId)).toMatchObject({ revision: BigInt(EVENTS - 1) });
    expect(eventsRead()).toBeLessThan(EVENTS - 100);
  });

  it('has a snapshot that two processes may write at once', async () => {
    const [one, other] = [await newProcess(), await newProcess()];
    for (let round = 0; round < 600; round++) await rename(one.book, `Round ${round}`, randomUUID(), true);
    await Promise.all([one, other].map(({ book }) => book.clients.read(clientId)));
    await rename(other.book, 'Last', randomUUID());
    const { book } = await newProcess();
    expect(await book.clients.read(clientId)).toMatchObject({
      revision: BigInt(EVENTS + 600),
      state: { name: 'Last' },
    });
    for (const at of [1, 2_000]) {
      const repeated = await rename(book, `Name ${at}`, commandIds[at] ?? '');
      expect(repeated).toMatchObject({ outcome: 'repeated', revision: BigInt(at), state: { name: `Name ${at}` } });
    }
  });

  it('has a snapshot for each version of its state, so that two releases may run side by side', async () => {
    const next = consumerClient.stateVersion + 1;
    const ofNextRelease = async () => {
      const version = jest.replaceProperty(consumerClient, 'stateVersion', next);
      const started = await newProcess();
      version.restore();
      return started;
    };
    await (await ofNextRelease()).book.clients.read(clientId);
    await eventually(
      () => log.snapshots.read(snapshotName(stream, next)),
      (text) => text !== undefined && Number(contentOf(text).revision) > EVENTS - 1_000,
    );
    for (const { book, eventsRead } of [await newProcess(), await ofNextRelease()]) {
      expect(await book.clients.read(clientId)).toMatchObject({ state: { name: `Name ${EVENTS - 1}` } });
      expect(eventsRead()).toBeLessThan(1_200);
    }
  });

  it.each([
    ['can be compressed', () => 'x'.repeat(4_000)],
    ['can’t be compressed', () => randomBytes(3_000).toString('base64')],
  ])('has a snapshot even if the state is far larger than an append may be, and %s', async (_what, filler) => {
    const keyed = newClientId();
    const times = 600;
    await appendClientWithTokens(log, keyed, times, filler);
    const { state: folded } = await (await openBook(log)).clients.read(keyed);
    await eventually(
      () => log.snapshots.read(nameOf(consumerClient.stream(keyed))),
      (text) => text !== undefined,
    );
    const own = await open();
    const reads = jest.spyOn(own, 'readStream');
    const { clients } = await openBook(own);
    const { state } = await clients.read(keyed);
    expect(JSON.stringify(state).length).toBeGreaterThan(2 * MAX_APPEND_BYTES);
    expect(state).toEqual(folded);
    const read = await Promise.all(
      reads.mock.calls.map(async ([name], call) =>
        name === consumerClient.stream(keyed) ? ((await reads.mock.results[call]?.value) as unknown[]).length : 0,
      ),
    );
    expect(read.reduce((sum, events) => sum + events, 0)).toBeLessThan(300);
  });

  it('shares the time of a read among the text of a snapshot and its parts', async () => {
    const keyed = newClientId();
    await appendClientWithTokens(log, keyed, 600, () => randomBytes(3_000).toString('base64'));
    await (await openBook(log)).clients.read(keyed);
    await eventually(
      () => log.snapshots.read(nameOf(consumerClient.stream(keyed))),
      (text) => text !== undefined,
    );
    const deadlines: number[] = [];
    const book = await openBook(
      withSnapshots(log, {
        read: async (...call) => {
          const text = await log.snapshots.read(...call);
          passTime(3_000);
          return text;
        },
        readPart: (...call) => {
          deadlines.push(call[2]?.deadlineMs ?? Infinity);
          return log.snapshots.readPart(...call);
        },
      }),
    );
    await book.clients.read(keyed);
    expect(deadlines.length).toBeGreaterThan(1);
    expect(Math.max(...deadlines)).toBeLessThanOrEqual(LOG_TIME_BUDGET_MS - 3_000);
  });

  it('leaves no failure unhandled if its time ends while an earlier state is read', async () => {
    const { states } = contentOf((await log.snapshots.read(nameOf(stream))) ?? '');
    const book = await openBook(
      withSnapshots(log, {
        readPart: (...call) => {
          if (!states.some(([, part]) => part === call[1])) return log.snapshots.readPart(...call);
          passTime(LOG_TIME_BUDGET_MS);
          return Promise.reject(new LogUnavailable('Too late'));
        },
      }),
    );
    await expect(rename(book, 'Name 600', commandIds[600] ?? '')).rejects.toBeInstanceOf(LogUnavailable);
    // Jest fails the test if a rejection is unhandled by then.
    await new Promise(setImmediate);
  });

  it('counts the snapshots that can’t be written, and reports this once until one is written again', async () => {
    const { own } = await newProcess();
    const told: string[] = [];
    let isFull = true;
    const write: SnapshotStore['write'] = (...call) =>
      isFull ? Promise.reject(new Error('No space left')) : own.snapshots.write(...call);
    const book = await openBookOfRecord(withSnapshots(own, { write }), () => new Date(AT), 'current', {
      outageBegan: ({ message, cause }) => told.push(message, String(cause)),
      outageEnded: () => told.push('over'),
    });
    const readNew = async () => {
      const other = newClientId();
      await appendLongClient(own, other, 600);
      await book.clients.read(other);
      return consumerClient.stream(other);
    };
    const first = await readNew();
    await eventually(
      () => Promise.resolve(book.snapshotWrites.failures),
      (failures) => failures === 1,
    );
    await readNew();
    await eventually(
      () => Promise.resolve(book.snapshotWrites.failures),
      (failures) => failures === 2,
    );
    expect(told).toEqual([`The snapshot of ${first} was not written`, 'Error: No space left']);
    isFull = false;
    await readNew();
    await eventually(
      () => Promise.resolve(told),
      (now) => now.length > 2,
    );
    expect(told.slice(2)).toEqual(['over']);
    expect(book.snapshotWrites.failures).toBe(2);
  });

  it('is reported once if only its own snapshots can’t be written', async () => {
    const failing = newClientId();
    const name = nameOf(consumerClient.stream(failing));
    const told: string[] = [];
    const write: SnapshotStore['write'] = (...call) =>
      call[0] === name ? Promise.reject(new Error('Refused')) : log.snapshots.write(...call);
    const book = await openBookOfRecord(withSnapshots(log, { write }), () => new Date(AT), 'current', {
      outageBegan: ({ message }) => told.push(message),
      outageEnded: () => told.push('over'),
    });
    const untilFailed = (times: number) =>
      eventually(
        () => Promise.resolve(book.snapshotWrites.failures),
        (failures) => failures === times,
      );
    const readAnother = async () => {
      const other = newClientId();
      await appendLongClient(log, other, 600);
      await book.clients.read(other);
      await eventually(
        () => log.snapshots.read(nameOf(consumerClient.stream(other))),
        (text) => text !== undefined,
      );
    };
    await appendLongClient(log, failing, 600);
    await book.clients.read(failing);
    await untilFailed(1);
    await readAnother();
    for (let n = 0; n < 500; n++) {
      const command = { type: 'DescribeClient', workspaceId: 'acme', name: `Again ${n}`, at: AT } as const;
      await book.clients.execute(failing, command, { context: contextOf(), isNew: true });
    }
    await untilFailed(2);
    await readAnother();
    expect(told).toEqual([`The snapshot of ${consumerClient.stream(failing)} was not written`]);
  });

  it('has no snapshot among the events of the log', async () => {
    const [first] = await log.readStream(stream, { limit: 1 });
    await log.append(`other-${clientId}`, 'none', newEvents(1));
    const events = await log.readAll({ after: first?.position ?? '', limit: 2 * EVENTS });
    expect(new Set(events.map((event) => event.stream))).toEqual(new Set([stream]));
    const { signal } = new AbortController();
    for await (const batch of log.subscribe({ after: first?.position ?? '', signal })) {
      expect(batch.events.every((event) => event.stream === stream)).toBe(true);
      if (batch.caughtUp) break;
    }
  });

  it('is never read from a snapshot of events that the log does not have', async () => {
    const { own, book } = await newProcess();
    const lost = newClientId();
    const lostStream = consumerClient.stream(lost);
    await appendLongClient(own, lost, 150);
    // The text of a snapshot for an event that this log does not have, as after a restore of the log to an older state.
    const later = {
      ...{ format: 1, stateVersion: consumerClient.stateVersion, logId: await readLogId(own), stream: lostStream },
      ...{ revision: '170', hash: 'f'.repeat(64), state: { status: 'REVOKED' }, runs: [], states: [] },
    };
    await own.snapshots.write(nameOf(lostStream), checked(later));
    expect(await book.clients.read(lost)).toMatchObject({ revision: 149n, state: { status: 'ACTIVE' } });
    await own.snapshots.write(nameOf(lostStream), checked({ ...later, revision: '149' }));
    const other = await newProcess();
    expect(await other.book.clients.read(lost)).toMatchObject({ revision: 149n, state: { status: 'ACTIVE' } });
  });
});
