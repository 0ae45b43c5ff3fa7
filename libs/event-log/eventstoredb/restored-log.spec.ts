import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import {
  ADOPTIONS_STREAM,
  adoptLog,
  type EventLog,
  identifyLog,
  internalContext,
  LogRestored,
  readAdoptions,
} from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { describeOnStandIn, type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { eventually } from '../../../test/support/api/http.js';
import { newEvents } from '../../../test/support/events/new-events.js';

jest.setTimeout(120_000);

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
  await identifyLog(warm, now);
  await readAdoptions(warm);
  await warm.append(stream, 'none', newEvents(2));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(opened.map((each) => each.close()));
  await store.stop();
  rmSync(folder, { recursive: true });
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
const newProcess = () => {
  const process = openEventStoreDbLog({ url: store.url });
  opened.push(process);
  return process;
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
    30,
  );
const adopt = () => adoptLog(newProcess(), { reason: 'An exercise', context: internalContext({ via: 'cli' }), now });
const lengthOf = async (of: string) => (await newProcess().readStream(of)).length;

const subscribed = async (log: EventLog) => {
  for await (const batch of log.subscribe({ signal: AbortSignal.timeout(30_000) })) return batch.events.length;
  return undefined;
};

it('a log that lacks what a process has appended is not used by it, until an operator adopts the log', async () => {
  const backup = await backUp();
  await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
  await restore(backup);

  const { connectionEpoch } = warm;
  expect(await onceConnected(() => warm.append(stream, 2n, newEvents(1)))).toBeInstanceOf(LogRestored);
  const calls: (() => Promise<unknown>)[] = [
    () => warm.append(newStream(), 'none', newEvents(1)),
    () => warm.readStream(stream, { consistency: 'strong' }),
    () => warm.readStream(stream),
    () => warm.readAll(),
    () => warm.eventAt('0'.repeat(20)),
    () => warm.end(),
    () => warm.mark(),
    () => subscribed(warm),
  ];
  for (const call of calls) await expect(call()).rejects.toThrow(LogRestored);
  expect(warm.restored?.message).toMatch(new RegExp(`lacks event 2 of ${stream}, .*'consumer-clients log adopt'`));
  expect(await lengthOf(stream)).toBe(2);

  await adopt();
  const events = await eventually(
    () => warm.readStream(stream, { consistency: 'strong' }).catch(() => undefined),
    (found) => found !== undefined,
    10,
  );
  expect([events?.length, warm.restored]).toEqual([2, undefined]);
  expect(warm.connectionEpoch).toBeGreaterThan(connectionEpoch);
  expect((await warm.append(stream, 1n, newEvents(1))).revision).toBe(2n);
  expect(await subscribed(warm)).toBeGreaterThan(0);
});

it('it is noticed by what a process has read, and although others have appended more since', async () => {
  const reader = newProcess();
  await onceConnected(() => reader.readStream(stream, { consistency: 'strong' }));
  const backup = await backUp();
  await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
  await onceConnected(() => reader.readStream(stream, { from: 2n, consistency: 'strong' }));
  await restore(backup);
  const other = newProcess();
  for (let count = 0; count < 20; count++) await other.append(newStream(), 'none', newEvents(2));
  expect(await onceConnected(() => reader.readStream(stream, { consistency: 'strong' }))).toBeInstanceOf(LogRestored);
});

it('an adoption that the process has known before does not count', async () => {
  await adopt();
  await readAdoptions(warm);
  const backup = await backUp();
  await onceConnected(() => warm.append(stream, 1n, newEvents(1)));
  await restore(backup);
  const reads = jest.spyOn(EventStoreDBClient.prototype, 'readStream');
  const looks = () => reads.mock.calls.filter(([name]) => name === ADOPTIONS_STREAM).length;
  await eventually(
    async () => {
      const read = () => warm.readStream(stream, { consistency: 'strong' });
      expect(await onceConnected(read)).toBeInstanceOf(LogRestored);
      return looks();
    },
    (count) => count >= 3,
    30,
  );
  await adopt();
  await eventually(
    () => warm.readStream(ADOPTIONS_STREAM, { consistency: 'strong' }).catch(() => []),
    ({ length }) => length === 2,
    10,
  );
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
  expect(await onceConnected(() => warm.readStream(revoked, { consistency: 'strong' }))).toBeInstanceOf(LogRestored);
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
  expect(await onceConnected(() => warm.readStream(other, { consistency: 'strong' }))).toHaveLength(1);
  expect(await warm.append(newStream(), 'none', newEvents(1))).toHaveProperty('revision', 0n);
});

it('a restart of the server is no restore', async () => {
  for (let count = 0; count < 2; count++) {
    await whileStopped(() => undefined);
    expect(await onceConnected(() => warm.append(newStream(), 'none', newEvents(1)))).toHaveProperty('revision', 0n);
    expect((await warm.readStream(stream, { consistency: 'strong' })).length).toBe(2);
  }
  expect(warm.restored).toBeUndefined();
});

describeOnStandIn('events that a scavenge has removed', () => {
  /** Removes the stream's events, as a scavenge does: all others keep their positions. */
  const scavenge = (of: string) =>
    whileStopped(() => {
      const other = of.replace('consumerClient-', 'scavenged-_-_-_');
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll(`"stream":"${of}"`, `"stream":"${other}"`));
    });

  it.each([
    ['deleted', (operator: EventStoreDBClient, of: string) => operator.deleteStream(of)],
    ['cut', (operator: EventStoreDBClient, of: string) => operator.setStreamMetadata(of, { truncateBefore: 3 })],
  ])('of a stream that was %s are no restore, and do not hide one', async (_, cut) => {
    const older = newStream();
    await warm.append(older, 'none', newEvents(1));
    const backup = await backUp();
    await onceConnected(() => warm.append(older, 0n, newEvents(1)));
    await warm.append(stream, 1n, newEvents(1));
    const operator = EventStoreDBClient.connectionString(store.url);
    await cut(operator, stream);
    await operator.dispose();
    await scavenge(stream);
    expect(await onceConnected(() => warm.readStream(older, { consistency: 'strong' }))).toHaveLength(2);

    await restore(backup);
    expect(await onceConnected(() => warm.readStream(older, { consistency: 'strong' }))).toBeInstanceOf(LogRestored);
  });
});
