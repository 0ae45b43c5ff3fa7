import { createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto';
import { join } from 'node:path';
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js';
import Database from 'libsql';
import { MasterKeys } from '#credentials';
import { signingLogKeys } from '#domain';
import {
  adoptLog,
  type EventLog,
  eventsToNow,
  internalContext,
  isLeaf,
  LogUnavailable,
  openBookOfRecord,
  TREE_HEADS_STREAM,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { NotDuringUpgrade, type RecordedEvent, upcast } from '#events';
import { ReadModelQueries, tree } from '#read-models';
import { keyIdOf, leafHash, noteOf, parseNote, parseTreeHeadText, signText, TreeEdge } from '#transparency';
import { Stage } from '../../test/replay/stage.js';
import { goOnFromHead, noteKeyOf, startTreeOrigin, TreeHeadSigner, TreeHeadsRefused, TreeReader } from './index.js';

const masterKeys = MasterKeys.from({ current: Buffer.alloc(32, 7) });
const { signal } = new AbortController();

let stage: Stage;
beforeEach(async () => {
  stage = await Stage.open();
});
afterEach(() => stage.close());

const readerOf = (log: EventLog = stage.log) => new TreeReader(new ReadModelQueries(stage.stores), log);

const signerOf = ({ book = stage.book, now = stage.now } = {}) =>
  new TreeHeadSigner({ book, reader: readerOf(book.log), masterKeys, publicUrl: 'https://hub.example:8443/x', now });

/** Feeds the tree, and lets queries read it. */
async function feed(): Promise<void> {
  const build = 'tree_v1_1';
  await stage.project(tree);
  if ((await stage.store.served(tree.name, tree.version)) === undefined)
    await stage.store.serve(tree, undefined, build);
}

async function createMany(from: number, to: number): Promise<void> {
  for (let label = from; label < to; label++) await stage.create(label);
}

const headsIn = async () =>
  (await stage.log.readStream(TREE_HEADS_STREAM)).map((recorded) => {
    const event = upcast(recorded);
    if (event.type !== 'TreeHeadSigned') throw new Error(event.type);
    return event.data;
  });

/** The leaves of the log, and the root over the first `size` of them. */
async function leavesOf(log: EventLog): Promise<RecordedEvent[]> {
  const leaves: RecordedEvent[] = [];
  for await (const event of eventsToNow(log)) if (isLeaf(event)) leaves.push(event);
  return leaves;
}

function rootOver(leaves: readonly RecordedEvent[]): string {
  const edge = TreeEdge.empty();
  for (const { metadata } of leaves) edge.append(leafHash(Buffer.from(metadata.hash, 'hex')));
  return Buffer.from(edge.root()).toString('base64');
}

/** Every head has the root of its leaves, and none is smaller than the one before. */
async function expectSoundHeads(): Promise<void> {
  const leaves = await leavesOf(stage.log);
  const heads = await headsIn();
  expect(heads.map(({ size }) => size)).toEqual(heads.map(({ size }) => size).sort((a, b) => a - b));
  for (const { size, root, note } of heads) {
    expect(root).toBe(rootOver(leaves.slice(0, size)));
    const head = parseTreeHeadText(parseNote(note)?.text ?? '');
    expect(head).toMatchObject({ size, origin: `hub.example:8443/${stage.logId}` });
    expect(Buffer.from(head?.root ?? []).toString('base64')).toBe(root);
  }
}

const spki = (publicKey: Uint8Array) =>
  createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]),
    format: 'der',
    type: 'spki',
  });

/** Returns the book on a log that is the stage's, changed by `change`. */
const bookOn = (change: Partial<EventLog>) =>
  openBookOfRecord(Object.assign(Object.create(stage.log) as EventLog, change), stage.now);

describe('a head', () => {
  test('covers every event that was acknowledged before, and is signed by the log’s key and by that of the time', async () => {
    await createMany(0, 3);
    const signer = signerOf();
    const head = await signer.sign(signal);
    const leaves = await leavesOf(stage.log);
    expect([head.size, head.root]).toEqual([leaves.length, rootOver(leaves)]);
    const { text = '', signatures = [] } = parseNote(head.note) ?? {};
    const state = await signer.ring.current(stage.now().toISOString());
    const [logKey, timeKey] = (['LOG', 'TIME'] as const).flatMap((purpose) =>
      signingLogKeys(state, purpose, head.signedAt).map((key) => noteKeyOf(key, head.origin)),
    );
    if (!logKey || !timeKey) throw new Error('A key is missing');
    expect(signatures.map(({ name, keyId }) => [name, Buffer.from(keyId)])).toEqual([
      [head.origin, Buffer.from(keyIdOf(logKey))],
      [`${head.origin}/time`, Buffer.from(keyIdOf(timeKey))],
    ]);
    const [signed, cosigned] = signatures.map(({ signature }) => signature);
    expect(verify(null, Buffer.from(text), spki(logKey.publicKey), signed ?? Buffer.of())).toBe(true);
    const seconds = Date.parse(stage.now().toISOString()) / 1000;
    const timed = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
    expect(verify(null, timed, spki(timeKey.publicKey), cosigned?.subarray(8) ?? Buffer.of())).toBe(true);
  });

  test('is not signed again while nothing comes, except on another day', async () => {
    await stage.create(1);
    const signer = signerOf();
    const head = await signer.sign(signal);
    expect(await signer.sign(signal)).toEqual(head);
    expect(await headsIn()).toHaveLength(1);
    const tomorrow = signerOf({ now: () => new Date(Date.parse(head.signedAt) + 86_400_000) });
    await feed();
    expect(await tomorrow.sign(signal)).toMatchObject({ size: head.size, root: head.root });
    expect(await headsIn()).toHaveLength(2);
    await expectSoundHeads();
  });

  test('is never signed while processes of the release before run', async () => {
    const signer = signerOf({ book: await openBookOfRecord(stage.log, stage.now, 'previous') });
    await expect(signer.sign(signal)).rejects.toThrow(NotDuringUpgrade);
    await signer.signIfDue(signal);
    expect(await headsIn()).toEqual([]);
  });

  test('is due when a thousand leaves are new', async () => {
    await createMany(0, 10);
    await feed();
    const signer = signerOf();
    await signer.signIfDue(signal);
    expect(await headsIn()).toEqual([]);
    await createMany(10, 1_000);
    await feed();
    await signer.signIfDue(signal);
    expect(await headsIn()).toHaveLength(1);
    await signer.signIfDue(signal);
    expect(await headsIn()).toHaveLength(1);
    await expectSoundHeads();
  });
});

describe('signers', () => {
  test('that work at once, while events come, fork nothing', async () => {
    const signers = [signerOf(), signerOf(), signerOf()];
    for (let round = 0; round < 15; round++) {
      const work = [stage.create(round), ...signers.map((signer) => signer.sign(signal))];
      await Promise.all(work);
      await feed();
    }
    await expectSoundHeads();
    const heads = await headsIn();
    expect(new Set(heads.map(({ size }) => size)).size).toBe(heads.length);
  });

  test('that begin anew go on from the stored tiles', async () => {
    for (const [from, to] of [
      [0, 250],
      [250, 270],
      [270, 530],
    ] as const) {
      await createMany(from, to);
      await feed();
      await signerOf().sign(signal);
    }
    await expectSoundHeads();
    expect((await headsIn()).at(-1)?.size).toBe((await leavesOf(stage.log)).length);
  });

  test('that die before or after the append leave nothing that the next one trips over', async () => {
    await stage.create(1);
    const dies = (when: 'before' | 'after'): Partial<EventLog> => ({
      append: async (stream, ...rest) => {
        if (stream !== TREE_HEADS_STREAM) return stage.log.append(stream, ...rest);
        if (when === 'after') await stage.log.append(stream, ...rest);
        throw new LogUnavailable('The signer was killed');
      },
    });
    for (const when of ['before', 'after'] as const) {
      await stage.create(when);
      await expect(signerOf({ book: await bookOn(dies(when)) }).sign(signal)).rejects.toThrow('killed');
      await feed();
      await signerOf().sign(signal);
    }
    await expectSoundHeads();
    expect(await headsIn()).toHaveLength(2);
  });

  test('refuse a log whose events are not those of its last head', async () => {
    await createMany(0, 5);
    await signerOf().sign(signal);
    await stage.create('later');
    await feed();
    const forged = await bookOn({
      subscribe: async function* (options) {
        for await (const batch of stage.log.subscribe(options)) {
          const events = batch.events.map((event) =>
            event.revision === 0n && event.stream.endsWith('3')
              ? { ...event, metadata: { ...event.metadata, hash: 'f'.repeat(64) } }
              : event,
          );
          yield { ...batch, events };
        }
      },
    });
    await expect(signerOf({ book: forged }).sign(signal)).rejects.toThrow(/was signed$/);
    expect(await headsIn()).toHaveLength(1);
  });

  test('refuse a log that was restored to an older state, and one that was adopted after it', async () => {
    await createMany(0, 3);
    await signerOf().sign(signal);
    const copy = join(stage.directory, `copy-${randomUUID()}.db`);
    const connection = new Database(join(stage.directory, 'events.db'));
    connection.exec(`VACUUM INTO '${copy}'`);
    connection.close();

    const older = await openSqliteEventLog({ file: copy });
    try {
      let current: EventLog = stage.log;
      let epoch = 0;
      const log = Object.assign(Object.create(stage.log) as EventLog, {
        readStream: (...read: Parameters<EventLog['readStream']>) => current.readStream(...read),
        subscribe: (...subscription: Parameters<EventLog['subscribe']>) => current.subscribe(...subscription),
      });
      Object.defineProperty(log, 'connectionEpoch', { get: () => epoch });
      const signer = signerOf({ book: await openBookOfRecord(log, stage.now) });
      await stage.create('lost');
      await feed();
      const lost = await signer.sign(signal);
      current = older;
      epoch++;
      await expect(signer.sign(signal)).rejects.toThrow(`The log has lost its head of ${lost.size} leaves`);

      await adoptLog(older, { reason: 'The backup', context: internalContext({ via: 'cli' }), now: stage.now });
      const fresh = signerOf({ book: await openBookOfRecord(older, stage.now) });
      await expect(fresh.sign(signal)).rejects.toThrow('restored to an older state after its last head');

      const book = await openBookOfRecord(older, stage.now);
      const options = { context: internalContext({ via: 'cli' }), now: stage.now };
      await expect(goOnFromHead(book, lost.note, options)).rejects.toThrow('are others than those of this head');
      const forged = lost.note.replace(/\n\d+\n/, '\n1\n');
      await expect(goOnFromHead(book, forged, options)).rejects.toThrow('but has not signed it');
      const publicUrl = 'https://hub.example:8443';
      const origin = await startTreeOrigin(book, { ...options, publicUrl, reason: 'The backup' });
      expect(await fresh.sign(signal)).toMatchObject({ origin });
      expect(origin).not.toBe(lost.origin);
    } finally {
      await older.close();
    }
  });
});

test('signers go on after an adoption when the log has proved that it extends a head', async () => {
  await stage.create(1);
  const { note, size } = await signerOf().sign(signal);
  await adoptLog(stage.log, { reason: 'The backup', context: internalContext({ via: 'cli' }), now: stage.now });
  await feed();
  await expect(signerOf().sign(signal)).rejects.toThrow(TreeHeadsRefused);
  const options = { context: internalContext({ via: 'cli' }), now: stage.now };
  expect(await goOnFromHead(stage.book, note, options)).toBe(size);
  expect((await signerOf().sign(signal)).size).toBe(size + 1);
  await expectSoundHeads();
});

test('a head that an operator brings is stored with the right lines of the log’s own keys, and with nothing else', async () => {
  await stage.create(1);
  const { note, size, origin } = await signerOf().sign(signal);
  await feed();
  const options = { context: internalContext({ via: 'cli' }), now: stage.now };
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const { text = '', signatures = [] } = parseNote(note) ?? {};
  const foreign = noteOf(text, [...signatures, signText('witness.example', stranger, text)]);
  expect(await goOnFromHead(stage.book, foreign, options)).toBe(size);
  expect((await headsIn()).map((head) => head.note)).toEqual([note, note]);

  const [log, time] = signatures;
  if (!log || !time) throw new Error('A line is missing');
  for (const [right, wrong] of [
    [time, log],
    [log, time],
  ] as const) {
    const changed = Buffer.from(wrong.signature);
    changed.writeUInt8(changed.readUInt8(changed.length - 1) ^ 1, changed.length - 1);
    const given = noteOf(text, [right, { ...wrong, signature: changed }]);
    await expect(goOnFromHead(stage.book, given, options)).rejects.toThrow('but has not signed it');
  }
  await expect(goOnFromHead(stage.book, noteOf(text, [time]), options)).rejects.toThrow('This is no head that a key');
  const [newest] = signingLogKeys((await stage.book.signingKeys.read()).state, 'LOG', stage.now().toISOString());
  if (!newest) throw new Error(`${origin} has no key`);
  await stage.book.signingKeys.execute(
    undefined,
    { type: 'CompromiseSigningKey', kid: newest.kid, at: stage.at() },
    { context: internalContext({ via: 'cli' }) },
  );
  await expect(goOnFromHead(stage.book, note, options)).rejects.toThrow('or the key is compromised');
});

describe('the reader', () => {
  test('finds the index of each event, and proves it at every size, however far the tree has gone', async () => {
    await createMany(0, 300);
    await feed();
    const reader = readerOf();
    const leaves = await leavesOf(stage.log);
    expect(await reader.size()).toBe(leaves.length);
    for (const index of [0, 1, 255, 256, 257, leaves.length - 1]) {
      const leaf = leaves[index];
      if (!leaf) throw new Error('No such leaf');
      expect(await reader.leafIndexOf(leaf)).toBe(index);
      for (const size of new Set([index + 1, Math.min(leaves.length, index + 40), leaves.length])) {
        const proof = await reader.inclusionProof(index, size);
        const entry = {
          ...{ canonicalizedBody: Buffer.from(leaf.metadata.hash, 'hex') },
          inclusionProof: {
            ...{ logIndex: String(index), treeSize: String(size), checkpoint: { envelope: '' } },
            ...{ hashes: proof.map((hash) => Buffer.from(hash)), rootHash: Buffer.of() },
          },
        };
        entry.inclusionProof.rootHash = Buffer.from(rootOver(leaves.slice(0, size)), 'base64');
        expect(() => {
          verifyMerkleInclusion(
            entry as never,
            { logSize: BigInt(size), logHash: entry.inclusionProof.rootHash } as never,
          );
        }).not.toThrow();
      }
    }
    const [last] = leaves.slice(-1);
    expect(await reader.leafIndexOf({ position: last?.position ?? '', metadata: { hash: 'a'.repeat(64) } })).toBe(
      undefined,
    );
  });

  test('returns the entries of a tile from the log, and waits for leaves that are not stored yet', async () => {
    await createMany(0, 260);
    await feed();
    const reader = readerOf();
    const leaves = await leavesOf(stage.log);
    const entries = await reader.entries(0, 256);
    expect(entries.map((entry) => Buffer.from(entry).toString('hex'))).toEqual(
      leaves.slice(0, 256).map(({ metadata }) => metadata.hash),
    );
    await stage.create('later');
    const waiting = reader.inclusionProof(leaves.length, leaves.length + 1);
    await feed();
    expect((await waiting).length).toBeGreaterThan(0);
    await expect(reader.tile(0, 1, 200)).rejects.toThrow('has not caught up');
  });
});
