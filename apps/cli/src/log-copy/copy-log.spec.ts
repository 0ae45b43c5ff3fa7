import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import {
  type EventLog,
  eventsMissing,
  eventsToNow,
  identifyLog,
  isLeaf,
  isSealed,
  type LogBatch,
  sealLog,
  type StreamCut,
  unsealLog,
} from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type RecordedEvent, seal } from '#events';
import { leafHash, TreeEdge } from '#transparency';
import { startEventStore } from '../../../../test/servers/eventstoredb/event-store.js';
import { copyLog, type CopyOptions, type CopyPhase, CopyRefused } from './copy-log.js';

const CLIENTS = 5;
const AT = '2026-03-01T10:00:00.000Z';
const now = () => new Date(AT);

let folder: string;
let source: EventLog;
let target: EventLog;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'copy-log-'));
  source = await openSqliteEventLog({ file: join(folder, 'source.db') });
  target = await openSqliteEventLog({ file: join(folder, 'target.db') });
  await identifyLog(source, now);
  for (let client = 0; client < CLIENTS; client++) await renameTwice(source, streamOf(client));
});
afterEach(async () => {
  await source.close();
  await target.close();
  rmSync(folder, { recursive: true });
});

const streamOf = (client: number) => `consumerClient-cc_${String(client).padStart(22, '0')}`;

const renameTwice = (log: EventLog, stream: string) => rename(log, stream, ['Orders', 'Invoices']);

async function rename(log: EventLog, stream: string, names: readonly string[]): Promise<void> {
  const renames = names.map((name) => ({ type: 'ConsumerClientRenamed', data: { name } }) as const);
  const ids = { commandId: randomUUID(), commandHash: '', correlationId: 'a-test', causationId: 'a-test' };
  const actor = { subject: 'a-test', roles: [], via: 'test' };
  await log.append(stream, 'none', seal(stream, undefined, renames, { ...ids, actor }, AT));
}

type Progress = [phase: CopyPhase, done: number, events: number];

const copy = (changes: Partial<Omit<CopyOptions, 'now' | 'signal'>> = {}) =>
  copyLog({
    source,
    target,
    now,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    onCut: () => undefined,
    ...changes,
  });

/**
 * Returns a log that stores the events of the copy unchanged. When these events are read again, `change` alters some of
 * them or, by returning `undefined`, removes them.
 */
function flawed(change: (event: RecordedEvent) => RecordedEvent | undefined): EventLog {
  const changed = ({ events, ...batch }: LogBatch): LogBatch => ({
    ...batch,
    events: events.flatMap((event) => change(event) ?? []),
  });
  const subscribe: EventLog['subscribe'] = async function* (options) {
    for await (const batch of target.subscribe(options)) yield changed(batch);
  };
  return Object.assign(Object.create(target) as EventLog, { subscribe });
}

const isLastOf = (event: RecordedEvent, client: number) => event.stream === streamOf(client) && event.revision === 1n;

describe('copying a log', () => {
  it('reports its phases in order, and its progress', async () => {
    const progress: Progress[] = [];
    expect(await copy({ onProgress: (...step) => progress.push(step) })).toEqual({
      ...{ events: 1 + 2 * CLIENTS, streams: 1 + CLIENTS, appended: 1 + 2 * CLIENTS },
      quarantined: [],
    });
    expect([...new Set(progress.map(([phase]) => phase))]).toEqual(['settling', 'copying', 'comparing']);
    for (const phase of ['copying', 'comparing'] as const) {
      const shares = progress.filter(([of]) => of === phase).map(([, done]) => done);
      expect(shares).toEqual(shares.toSorted((a, b) => a - b));
      expect(Math.abs(1 - (shares.at(-1) ?? 0))).toBeLessThan(0.1);
    }
    const again: Progress[] = [];
    expect(await copy({ onProgress: (...step) => again.push(step) })).toMatchObject({ appended: 0 });
    expect(again[0]?.[0]).toBe('verifying');
  });

  /** Returns size and root of the tree over the log. */
  async function treeOf(log: EventLog) {
    const edge = TreeEdge.empty();
    for await (const event of eventsToNow(log)) {
      if (isLeaf(event)) edge.append(leafHash(Buffer.from(event.metadata.hash, 'hex')));
    }
    return { size: edge.size, root: Buffer.from(edge.root()).toString('hex') };
  }

  it('keeps the tree over the log, also that of a log that was sealed before and went on', async () => {
    await sealLog(source, { reason: 'A first try', now });
    await unsealLog(source, { reason: 'Back again', now });
    await renameTwice(source, streamOf(CLIENTS));
    const tree = await treeOf(source);
    expect(tree.size).toBe(3 + 2 * CLIENTS);
    await copy();
    expect(await treeOf(target)).toEqual(tree);
    expect(await treeOf(source)).toEqual(tree);
  });

  it('makes smaller appends where the target was given a lower limit than ours', async () => {
    await rename(
      source,
      streamOf(CLIENTS),
      Array.from({ length: 40 }, (_, name) => `Orders ${name}`),
    );
    const store = await startEventStore({ maxAppendBytes: 100 });
    const small = openEventStoreDbLog({ url: store.url });
    try {
      expect(await copy({ target: small })).toMatchObject({ events: 41 + 2 * CLIENTS });
    } finally {
      await small.close();
      await store.stop();
    }
  });

  it.each([
    ['lost the end of a stream', (event: RecordedEvent) => (isLastOf(event, 3) ? undefined : event)],
    ['lost a whole stream', (event: RecordedEvent) => (event.stream === streamOf(3) ? undefined : event)],
  ])('notices a store that has %s', async (_, change) => {
    await expect(copy({ target: flawed(change) })).rejects.toThrow(
      new CopyRefused(`Streams of the copy that differ: 1, such as ${streamOf(3)}`),
    );
  });

  it.each([
    ['HASH_MISMATCH', (event: RecordedEvent) => (isLastOf(event, 2) ? { ...event, data: { name: 'Forged' } } : event)],
    ['REVISION_GAP', (event: RecordedEvent) => (isLastOf(event, 2) ? { ...event, revision: 2n } : event)],
  ])('notices a store that returns an event changed: %s', async (fault, change) => {
    await expect(copy({ target: flawed(change) })).rejects.toThrow(new RegExp(`is broken at revision \\d: ${fault}`));
  });

  /** Returns a target that runs `disturb` when the copy reaches the last stream. */
  const disturbed = (disturb: () => Promise<unknown>): EventLog => {
    const append: EventLog['append'] = async (stream, ...rest) => {
      if (stream === streamOf(CLIENTS - 1)) await disturb();
      return target.append(stream, ...rest);
    };
    return Object.assign(Object.create(target) as EventLog, { append });
  };

  it('fails if something else writes to the target', async () => {
    const written = disturbed(() => renameTwice(target, streamOf(CLIENTS - 1)));
    await expect(copy({ target: written })).rejects.toThrow(`writes to ${streamOf(CLIENTS - 1)} of the target`);
  });

  /** Deletes events from the source's file, as a scavenge deletes the events of a stream that is cut. */
  const deleteFromSource = async (where: string) => {
    await source.close();
    const db = new Database(join(folder, 'source.db'));
    db.exec(`DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE ${where}`);
    db.close();
    source = await openSqliteEventLog({ file: join(folder, 'source.db') });
  };

  it.each([
    ['a first copy', () => Promise.resolve()],
    ['a copy that is repeated', () => copy().then(() => unsealLog(source, { reason: 'Again', now }))],
  ])('blames the source for the events that it lacks: %s', async (_, prepare) => {
    await prepare();
    await deleteFromSource(`stream = '${streamOf(3)}' AND revision = 0`);
    await expect(copy()).rejects.toThrow(`The source is not complete: event 0 of ${streamOf(3)} is missing`);
  });

  it('blames the source for events that are missing in the middle of a stream', async () => {
    await rename(source, streamOf(CLIENTS), ['One', 'Two', 'Three', 'Four']);
    await deleteFromSource(`stream = '${streamOf(CLIENTS)}' AND revision IN (1, 2)`);
    await expect(copy()).rejects.toThrow(`not complete: events 1 to 2 of ${streamOf(CLIENTS)} are missing`);
  });

  it('names the streams of the source that are cut, and fails if one has no event any more', async () => {
    const kept = { stream: streamOf(3), how: 'has $maxCount 1' };
    const gone = { stream: streamOf(CLIENTS), how: 'was tombstoned' };
    const cut = (cuts: readonly StreamCut[]): EventLog => {
      const readStream: EventLog['readStream'] = (stream, options) =>
        stream === gone.stream ? Promise.reject(eventsMissing(stream, 0n, 1n)) : source.readStream(stream, options);
      const findCuts = () => Promise.resolve(cuts);
      return Object.assign(Object.create(source) as EventLog, { findCuts, readStream });
    };
    const named: StreamCut[] = [];
    const onCut = (found: StreamCut) => named.push(found);
    await expect(copy({ source: cut([kept, gone]), onCut })).rejects.toThrow(
      `not complete: events 0 to 1 of ${gone.stream} are missing`,
    );
    expect(named).toEqual([kept, gone]);
    expect(await copy({ source: cut([kept]) })).toMatchObject({ events: 1 + 2 * CLIENTS });
  });

  it('refuses a target that is cut, before it seals the source', async () => {
    const findCuts = () => Promise.resolve([{ stream: streamOf(3), how: 'has $maxCount 1' }]);
    const cut = Object.assign(Object.create(target) as EventLog, { findCuts });
    await expect(copy({ target: cut })).rejects.toThrow(`The target would lose events: ${streamOf(3)} has $maxCount 1`);
    expect(await isSealed(source)).toBe(false);
  });

  it.each([false, true])('fails if the source was unsealed meanwhile (and sealed again: %s)', async (again) => {
    const unsealed = disturbed(async () => {
      await unsealLog(source, { reason: 'In haste', now });
      if (again) await sealLog(source, { reason: 'Again', now });
    });
    await expect(copy({ target: unsealed })).rejects.toThrow('The source was unsealed meanwhile');
    expect(await copy()).toMatchObject({ appended: 0 });
    expect(await isSealed(source)).toBe(true);
  });
});
