import { MasterKeys } from '#credentials';
import { consumerClient, signingLogKeys } from '#domain';
import { type EventLog, TREE_HEADS_STREAM } from '#event-log';
import { parseBundle, trustFrom, type Verdict, verifyEvidence } from '#evidence';
import { ReadModelQueries, tree } from '#read-models';
import { evidenceJson, vkeyOf } from '#transparency';
import { clientNamed, Stage, VERIFIER_MARK, WORKSPACE } from '../../test/replay/stage.js';
import {
  type EvidenceQuestion,
  EvidenceTooLarge,
  noteKeyOf,
  NoTreeHead,
  NotYetInHead,
  SinceBeyondHead,
  streamEvidence,
  TreeHeadSigner,
  TreeReader,
} from './index.js';

const masterKeys = MasterKeys.from({ current: Buffer.alloc(32, 7) });
const { signal } = new AbortController();
const client = clientNamed('x');
const stream = consumerClient.stream(client);

let stage: Stage;
let signer: TreeHeadSigner;
beforeEach(async () => {
  stage = await Stage.open();
  const reader = new TreeReader(new ReadModelQueries(stage.stores), stage.log);
  signer = new TreeHeadSigner({
    ...{ book: stage.book, reader, masterKeys, publicUrl: 'https://hub.example', now: stage.now },
  });
});
afterEach(() => stage.close());

/** Feeds the tree, lets queries read it, and signs a head. Returns the head's note. */
async function signHead(): Promise<string> {
  const feed = async () => {
    await stage.project(tree);
    if (!(await stage.store.served(tree.name, tree.version))) await stage.store.serve(tree, undefined, 'tree_v1_1');
  };
  await feed();
  const { note } = await signer.sign(signal);
  // The first head publishes keys, which are leaves.
  await feed();
  return note;
}

const rename = (name: string) => stage.rename('x', name);
const revoke = () => stage.revoke('x');

/** Returns the JSON form of the evidence. `log`: stands between the evidence and the log. */
async function evidence(asked: Partial<EvidenceQuestion> = {}, log: Pick<EventLog, 'readStream'> = stage.log) {
  const reader = new TreeReader(new ReadModelQueries(stage.stores), stage.log);
  const at = stage.now().toISOString();
  const question = { stream, at, maxEvents: 10, isVisible: () => true, policy: () => 'quorum none\n', ...asked };
  const files = await streamEvidence({ log, reader, ring: signer.ring }, question);
  return files && evidenceJson(files);
}

async function verified(json: string | undefined, since?: string): Promise<Verdict> {
  const at = stage.now().toISOString();
  const keys = await signer.ring.current(at);
  const vkeys = (['LOG', 'TIME'] as const).flatMap((purpose) =>
    signingLogKeys(keys, purpose, at).map((key) => vkeyOf(noteKeyOf(key, `hub.example/${stage.logId}`))),
  );
  const now = Math.floor(Date.parse(at) / 1000);
  const trust = trustFrom({ keys: vkeys, now, maxAge: 3_600, ...(since && { since: Buffer.from(since) }) });
  return verifyEvidence(parseBundle(Buffer.from(json ?? '')), trust);
}

test('the evidence about a client holds at each head, and each extends the one before', async () => {
  await stage.create('x', 'Wetter ☂');
  let before: { note: string; size: number } | undefined;
  for (const change of [() => rename('Second'), revoke]) {
    await change();
    for (let other = 0; other < 150; other++) await stage.create(`${before?.size ?? 0}n${other}`);
    const note = await signHead();
    const json = await evidence(before && { since: before.size });
    expect(json).not.toContain(VERIFIER_MARK);
    const verdict = await verified(json, before?.note);
    expect(verdict.fault ?? verdict.shortfall).toBeUndefined();
    expect(verdict.claims.map(({ claim }) => claim)).toEqual([
      ...['SIGNATURE', 'TREE_HEAD', ...(before ? ['EXTENDS'] : []), 'EVENTS', 'CHAIN', 'STATEMENT', 'COSIGNED', 'AGE'],
    ]);
    const [, statement] = /STATEMENT: .* the stream is (.*)$/m.exec(
      verdict.claims.map(({ claim, text }) => `${claim}: ${text}`).join('\n'),
    ) ?? ['', ''];
    expect(statement).toBe(change === revoke ? 'ended' : 'live');
    before = { note, size: Number(note.split('\n')[1]) };
  }
});

test('events that no head covers yet are never left out', async () => {
  await stage.create('x');
  await expect(evidence()).rejects.toThrow(NoTreeHead);
  await signHead();
  await revoke();
  await expect(evidence()).rejects.toThrow(NotYetInHead);
  await stage.project(tree);
  await expect(evidence()).rejects.toThrow(NotYetInHead);
  await signHead();
  expect(await verified(await evidence())).toMatchObject({ result: 'HOLDS' });
});

test('a revocation and a head that come while evidence is made do not make its statement false', async () => {
  await stage.create('x');
  await signHead();
  let isFirst = true;
  const readStream: EventLog['readStream'] = async (name, options) => {
    const interrupts = isFirst && name === TREE_HEADS_STREAM;
    isFirst = isFirst && !interrupts;
    if (interrupts) {
      await revoke();
      await signHead();
    }
    return stage.log.readStream(name, options);
  };
  const json = await evidence({}, { readStream });
  expect(await verified(json)).toMatchObject({ result: 'HOLDS' });
  expect(json).toContain('ConsumerClientRevoked');
});

test('a stream that the caller may not see is one that does not exist', async () => {
  await stage.create('x');
  await signHead();
  const isVisible: EvidenceQuestion['isVisible'] = ({ metadata }) => metadata.workspaceId !== WORKSPACE;
  expect(await evidence({ isVisible })).toBeUndefined();
  expect(await evidence({ stream: 'consumerClient-cc_AAAAAAAAAAAAAAAAAAAB' })).toBeUndefined();
});

test('evidence of more events than the caller allows is refused', async () => {
  await stage.create('x');
  await rename('Second');
  await signHead();
  await expect(evidence({ maxEvents: 1 })).rejects.toThrow(EvidenceTooLarge);
  expect(await verified(await evidence({ maxEvents: 2 }))).toMatchObject({ result: 'HOLDS' });
});

test('no evidence is made since a tree that is larger than the last head', async () => {
  await stage.create('x');
  const size = Number((await signHead()).split('\n')[1]);
  await expect(evidence({ since: size + 1 })).rejects.toThrow(SinceBeyondHead);
});

test('evidence of many events reads each tile once for its proofs, and none any more when its reader has gone', async () => {
  await stage.create('x');
  for (let n = 0; n < 80; n++) await rename(`Name ${n}`);
  for (let other = 0; other < 300; other++) await stage.create(`n${other}`);
  await signHead();
  const reading = jest.spyOn(stage.store, 'read');
  const reads = () => reading.mock.calls.filter(([build]) => build.startsWith('tree_')).map(([, ids]) => ids.join());
  expect(await verified(await evidence({ maxEvents: 1_000 }))).toMatchObject({ result: 'HOLDS' });
  expect(reads().length).toBeGreaterThan(1);
  expect(reads()).toEqual([...new Set(reads())]);

  reading.mockClear();
  const reader = new AbortController();
  reader.abort(new Error('gone'));
  await expect(evidence({ maxEvents: 1_000, signal: reader.signal })).rejects.toThrow('gone');
  expect(reads()).toEqual([]);
});
