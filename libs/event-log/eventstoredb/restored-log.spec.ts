import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { ADOPTIONS_STREAM, adoptLog, type EventLog, identifyLog, internalContext, LogRestored } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { describeOnStandIn, type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { eventually } from '../../../test/support/api/http.js';
import { newEvents } from '../../../test/support/events/new-events.js';

const now = () => new Date();

let folder: string;
let file: string;
let store: EventStore;
let opened: EventLog[];
/** A process that knows the log from before its restore. */
let warm: EventLog;
let stream: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'restored-log-'));
  file = join(folder, 'events.jsonl');
  store = await startEventStore({ file });
  opened = [];
  warm = newProcess();
  stream = newStream();
  await begin(warm);
  await warm.append(stream, 'none', newEvents(2));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(opened.map((each) => each.close()));
  await store.stop();
  rmSync(folder, { recursive: true });
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const newProcess = (options: { readonly prefix?: string; readonly deadlineMs?: number } = {}) => {
  const process = openEventStoreDbLog({ url: store.url, ...options });
  opened.push(process);
  return process;
};
/** Does what each process does at its start. */
const begin = async (log: EventLog) => {
  await identifyLog(log, now);
  await log.rememberNewest();
};
const asOperator = async (act: (operator: EventStoreDBClient) => Promise<unknown>) => {
  const operator = EventStoreDBClient.connectionString(store.url);
  await act(operator);
  await operator.dispose();
};
const whileStopped = async (change: () => void) => {
  await store.kill();
  change();
  await store.restart();
};
const backUp = async (): Promise<string> => {
  const copy = join(folder, `backup-${randomUUID()}`);
  await whileStopped(() => {
    cpSync(file, copy, { recursive: true });
  });
  return copy;
};
const restore = (copy: string) =>
  whileStopped(() => {
    rmSync(file, { recursive: true });
    cpSync(copy, file, { recursive: true });
  });
/** Reads or appends, until the process has found its way to the server again. */
const onceConnected = <T>(call: () => Promise<T>): Promise<T> =>
  eventually(
    () => call().catch((error: unknown) => error as T),
    (result) => !(result instanceof Error) || result instanceof LogRestored,
  );
const adopt = (operator: EventLog = newProcess()) =>
  adoptLog(operator, { reason: 'An exercise', context: internalContext({ via: 'cli' }), now });
const strongRead = (log: EventLog, of = stream) => log.readStream(of, { consistency: 'strong' });
/** Uses the log until it can be used again. */
const onceUsable = <T>(call: () => Promise<T>): Promise<T> =>
  eventually(
    () => call().catch((error: unknown) => error as T),
    (result) => !(result instanceof Error),
  );
/** Uses the restored log until the process has looked twice whether it can go on, and expects that it can't. */
const expectStillRestored = async (log: EventLog) => {
  const reads = jest.spyOn(EventStoreDBClient.prototype, 'readStream');
  const looks = () => reads.mock.calls.filter(([name]) => name === ADOPTIONS_STREAM).length;
  await eventually(
    async () => {
      expect(await onceConnected(() => log.end())).toBeInstanceOf(LogRestored);
      return looks();
    },
    (count) => count >= 3,
  );
  reads.mockRestore();
};

const subscribed = async (log: EventLog) => {
  for await (const batch of log.subscribe({ signal: AbortSignal.timeout(30_000) })) return batch.events.length;
  return undefined;
};

it.each(['', 'staging-'])(
  'a log that lacks what a process has appended is not used by it, until an operator adopts the log (prefix: %j)',
  async (prefix) => {
    const process = newProcess({ prefix });
    const stream = newStream();
    await begin(process);
    await process.append(stream, 'none', newEvents(2));
    // More streams than a process remembers.
    for (let count = 0; count < 10; count++) await process.append(newStream(), 'none', newEvents(1));
    const backup = await backUp();
    await onceConnected(() => process.append(stream, 1n, newEvents(1)));
    await restore(backup);

    const { connectionEpoch } = process;
    const saved = (): Promise<unknown> => process.snapshots.write('a-name', 'a text');
    expect(await onceConnected(saved)).toBeInstanceOf(LogRestored);
    const calls: (() => Promise<unknown>)[] = [
      saved,
      () => process.snapshots.writeParts('a-name', ['a part']),
      () => process.append(stream, 2n, newEvents(1)),
      () => process.append(newStream(), 'none', newEvents(1)),
      () => process.readStream(stream, { consistency: 'strong' }),
      () => process.readStream(stream),
      () => process.readAll(),
      () => process.eventAt('0'.repeat(20)),
      () => process.end(),
      () => process.mark(),
      () => process.rememberNewest(),
      () => subscribed(process),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow(LogRestored);
    expect(process.restored?.message).toMatch(new RegExp(`lacks event 2 of ${stream}, .*'consumer-clients log adopt'`));
    const other = newProcess({ prefix });
    expect(await other.readStream(stream)).toHaveLength(2);
    expect([await other.snapshots.read('a-name'), await other.snapshots.readPart('a-name', 0)]).toEqual([
      undefined,
      undefined,
    ]);

    await adopt(other);
    const events = await onceUsable(() => strongRead(process, stream));
    expect([events.length, process.restored]).toEqual([2, undefined]);
    expect(process.connectionEpoch).toBeGreaterThan(connectionEpoch);
    expect((await process.append(stream, 1n, newEvents(1))).revision).toBe(2n);
    await process.snapshots.write('a-name', 'a text');
    expect(await subscribed(process)).toBeGreaterThan(0);

    // The second restore is adopted before this process has noticed it.
    await restore(backup);
    await adopt(newProcess({ prefix }));
    expect(await onceConnected(() => strongRead(process, stream))).toBeInstanceOf(LogRestored);
    expect(await onceUsable(() => strongRead(process, stream))).toHaveLength(2);
    expect((await process.append(stream, 1n, newEvents(1))).revision).toBe(2n);
  },
);

describe('a process that only looks at the log', () => {
  it('notices that the log lacks what others have written, by whatever it has seen of it', async () => {
    const processes = [newProcess(), newProcess(), newProcess()] as const;
    for (const process of processes) await begin(process);
    const backup = await backUp();
    const { position } = await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
    const [idle, verifying, reading] = processes;
    await onceConnected(() => idle.rememberNewest());
    await onceConnected(() => verifying.eventAt(position));
    await onceConnected(() => reading.readAll({ direction: 'backwards', limit: 1, consistency: 'strong' }));
    await restore(backup);
    for (const process of processes) {
      const create = () => process.append(newStream(), 'none', newEvents(1));
      expect(await onceConnected(create)).toBeInstanceOf(LogRestored);
    }
  });

  it('knows the newest event although fences came after it, and looks at the log’s end only', async () => {
    const idle = newProcess();
    await begin(idle);
    const reads = jest.spyOn(EventStoreDBClient.prototype, 'readAll');
    for (let count = 0; count < 40; count++) await idle.mark();
    await idle.rememberNewest();
    await idle.rememberNewest();
    expect(reads.mock.calls.map(([options]) => options?.maxCount)).toEqual([32, 4096, 32]);
  });
});

it('a process goes on by itself when the log has its events again, in their places', async () => {
  const backup = await backUp();
  const repeated = newEvents(1);
  await onceConnected(() => warm.append(stream, 1n, repeated));
  const right = await backUp();
  await restore(backup);
  const create = () => warm.append(newStream(), 'none', newEvents(1));
  expect(await onceConnected(create)).toBeInstanceOf(LogRestored);
  const other = newProcess();
  await other.append(newStream(), 'none', newEvents(1));
  await other.append(stream, 1n, repeated);
  await expectStillRestored(warm);

  const { connectionEpoch } = warm;
  await restore(right);
  expect(await onceUsable(create)).toHaveProperty('revision', 0n);
  expect(warm.restored).toBeUndefined();
  expect(warm.connectionEpoch).toBeGreaterThan(connectionEpoch);
  expect(await strongRead(warm)).toHaveLength(3);

  await restore(backup);
  expect(await onceConnected(create)).toBeInstanceOf(LogRestored);
});

it('an append that began before a restore is not repeated after the adoption', async () => {
  const process = newProcess({ deadlineMs: 60_000 });
  await begin(process);
  const backup = await backUp();
  await onceConnected(() => process.append(stream, 1n, newEvents(1)));
  const appendToStream = Reflect.get<EventStoreDBClient, 'appendToStream'>(
    EventStoreDBClient.prototype,
    'appendToStream',
  );
  const appends = jest.spyOn(EventStoreDBClient.prototype, 'appendToStream');
  appends.mockImplementation(async function (this: EventStoreDBClient, name, ...call) {
    if (name !== stream) return appendToStream.call(this, name, ...call);
    appends.mockRestore();
    await restore(backup);
    // The stream is as long as before, with another event.
    await newProcess().append(stream, 1n, newEvents(1));
    await adopt();
    expect(await onceConnected(() => strongRead(process))).toBeInstanceOf(LogRestored);
    await onceUsable(() => strongRead(process));
    throw Object.assign(new Error('The connection broke'), { code: 14, type: 'unavailable' });
  });
  await expect(process.append(stream, 2n, newEvents(1))).rejects.toThrow(LogRestored);
  expect(await process.readStream(stream)).toHaveLength(3);
});

it('it is noticed by what a process has read, and although others have appended more since', async () => {
  const reader = newProcess();
  await onceConnected(() => strongRead(reader));
  const backup = await backUp();
  await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
  await onceConnected(() => reader.readStream(stream, { from: 2n, consistency: 'strong' }));
  await restore(backup);
  const other = newProcess();
  for (let count = 0; count < 20; count++) await other.append(newStream(), 'none', newEvents(2));
  expect(await onceConnected(() => strongRead(reader))).toBeInstanceOf(LogRestored);
});

describe('an adoption', () => {
  it.each([
    ['that the process knew before the restore', () => warm.rememberNewest()],
    ['that is older than an event which the process knows', () => warm.append(stream, 1n, newEvents(1))],
  ])('%s does not count', async (_, look) => {
    await adopt();
    await look();
    const backup = await backUp();
    await onceConnected(() => warm.append(newStream(), 'none', newEvents(1)));
    await restore(backup);
    expect(await onceConnected(() => strongRead(warm))).toBeInstanceOf(LogRestored);
    await expectStillRestored(warm);
    await adopt();
    await onceUsable(() => warm.end());
  });

  it('does not count for a process that has never read the adoptions', async () => {
    const stranger = newProcess();
    const backup = await backUp();
    await onceConnected(() => stranger.append(stream, 1n, newEvents(1)));
    await restore(backup);
    const read = () => strongRead(stranger);
    expect(await onceConnected(read)).toBeInstanceOf(LogRestored);
    await adopt();
    await expectStillRestored(stranger);
  });

  it('can’t be found while its stream is cut, which the refusals say', async () => {
    await adopt();
    await warm.rememberNewest();
    const backup = await backUp();
    await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
    await restore(backup);
    await asOperator((operator) => operator.deleteStream(ADOPTIONS_STREAM));
    const read = () => strongRead(warm);
    const refused = (message: RegExp) =>
      eventually(
        () => read().then(String, String),
        (error) => message.test(error),
      );
    await refused(/lacks event 2 of .*No adoption can be found, because logAdoptions was deleted: all its events are/);
    expect(warm.missingHistory.all.map((error) => error.stream)).toEqual([ADOPTIONS_STREAM]);
    await expect(adopt()).rejects.toThrow('logAdoptions was deleted');
    await asOperator((operator) => operator.setStreamMetadata(ADOPTIONS_STREAM, {}));
    await refused(/'consumer-clients log adopt'/);
    await adopt();
    expect(await onceUsable(read)).toHaveLength(2);
    expect(warm.missingHistory.all).toEqual([]);
  });
});

it('it is noticed although the newest event of all is there again, because somebody has repeated its command', async () => {
  const revoked = newStream();
  await warm.append(revoked, 'none', newEvents(1));
  const backup = await backUp();
  const repeated = newEvents(1);
  await onceConnected(() => warm.append(revoked, 0n, newEvents(1)));
  await warm.append(stream, 1n, repeated);
  await restore(backup);
  await newProcess().append(stream, 1n, repeated);
  expect(await onceConnected(() => strongRead(warm, revoked))).toBeInstanceOf(LogRestored);
});

it('an event of another program, in the stream that was read last, stops the reads of no other stream', async () => {
  const other = newStream();
  await warm.append(other, 'none', newEvents(1));
  await warm.readStream('log', { consistency: 'strong' });
  const program = EventStoreDBClient.connectionString(store.url);
  await program.appendToStream(stream, jsonEvent({ type: 'Theirs', data: {} }));
  await program.dispose();
  const stop = new AbortController();
  for await (const { events } of warm.subscribe({ signal: stop.signal })) {
    if (events.some(({ unreadable }) => unreadable)) break;
  }
  stop.abort();
  await whileStopped(() => undefined);
  expect(await onceConnected(() => strongRead(warm, other))).toHaveLength(1);
  expect(await warm.append(newStream(), 'none', newEvents(1))).toHaveProperty('revision', 0n);
});

it('a restart of the server is no restore', async () => {
  for (let count = 0; count < 2; count++) {
    await whileStopped(() => undefined);
    expect(await onceConnected(() => warm.append(newStream(), 'none', newEvents(1)))).toHaveProperty('revision', 0n);
    expect((await strongRead(warm)).length).toBe(2);
  }
  expect(warm.restored).toBeUndefined();
});

describeOnStandIn('events that a scavenge has removed', () => {
  /** Removes the streams' events, as a scavenge does: all others keep their positions. */
  const scavenge = (streams: readonly string[]) =>
    whileStopped(() => {
      const scavenged = (text: string, of: string) =>
        text.replaceAll(`"stream":"${of}"`, `"stream":"${of.replace('consumerClient-', 'scavenged-_-_-_')}"`);
      writeFileSync(file, streams.reduce(scavenged, readFileSync(file, 'utf8')));
    });

  it('are no restore, whoever knows them, and do not hide one', async () => {
    const older = newStream();
    await warm.append(older, 'none', newEvents(1));
    const backup = await backUp();
    await onceConnected(() => warm.append(older, 0n, newEvents(1)));
    const narrow = newProcess();
    const gone = [newStream(), newStream(), newStream(), newStream()] as const;
    const [deleted, cut, takenBack, tombstoned] = gone;
    for (const each of gone) {
      await warm.append(each, 'none', newEvents(2));
      // Knows nothing else.
      await narrow.append(each, 1n, newEvents(1));
    }
    await asOperator(async (operator) => {
      for (const each of [deleted, takenBack]) await operator.deleteStream(each);
      await operator.setStreamMetadata(cut, { truncateBefore: 3 });
      await operator.tombstoneStream(tombstoned);
    });
    await scavenge([deleted, cut, takenBack]);
    await asOperator((operator) => operator.setStreamMetadata(takenBack, {}));
    const read = (log: EventLog) => onceConnected(() => strongRead(log, older));
    for (const process of [warm, narrow]) expect(await read(process)).toHaveLength(2);

    await restore(backup);
    // The process that knows only events of cut streams has nothing but the end of the log.
    for (const process of [narrow, warm]) expect(await read(process)).toBeInstanceOf(LogRestored);
  });
});
