import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAULTS, parseBundle, SHORTFALLS, trustFrom, UnreadableBundle, verifyEvidence, WrongArgument } from '#evidence';
import { evidenceFiles, evidenceJson } from '#transparency';
import {
  clientIdOf,
  EvidenceBook,
  LOG_VKEY,
  POLICY,
  SIGNED_AT,
  streamOf,
  TIME_VKEY,
  WITNESS_VKEY,
} from '../../test/support/transparency/evidence-book.js';
import {
  evidenceVectors,
  type Vector,
  type VectorArguments,
} from '../../test/support/transparency/evidence-vectors.js';

const VECTORS = join(__dirname, '../../docs/evidence/vectors');

const trust = ({ key, since, policy, client, ...rest }: VectorArguments) =>
  trustFrom({
    ...{ keys: key, ...rest },
    ...(since !== undefined && { since: Buffer.from(since) }),
    ...(policy !== undefined && { policy: Buffer.from(policy) }),
    ...(client !== undefined && { clientId: client }),
  });

const answer = (json: string, given: VectorArguments) => {
  const { result, fault, shortfall } = verifyEvidence(parseBundle(Buffer.from(json)), trust(given));
  return { exit: { HOLDS: 0, DOES_NOT_HOLD: 1, NOT_ENOUGH: 4 }[result], fault: (fault ?? shortfall)?.name ?? null };
};

/** What docs/evidence/vectors has of a vector: an element of vectors.json, and the bundle. */
const written = ({ name, files, arguments: given, exit, fault }: Vector) => {
  const bundle = `${name.replace(/[^a-zA-Z0-9]+/g, '-')}.json`;
  return { element: { name, bundle, arguments: given, exit, fault }, json: `${evidenceJson(files)}\n` };
};

describe('The vectors of docs/evidence.md', () => {
  let vectors: ReturnType<typeof written>[];

  beforeAll(async () => {
    vectors = (await evidenceVectors()).map(written);
    if (process.env.WRITE_VECTORS !== 'true') return;
    rmSync(VECTORS, { recursive: true, force: true });
    mkdirSync(VECTORS, { recursive: true });
    for (const { element, json } of vectors) writeFileSync(join(VECTORS, element.bundle), json);
    const list = JSON.stringify(
      vectors.map(({ element }) => element),
      undefined,
      2,
    );
    writeFileSync(join(VECTORS, 'vectors.json'), `${list}\n`);
  });

  test('are what our builder makes of these events and keys', () => {
    const list = JSON.parse(readFileSync(join(VECTORS, 'vectors.json'), 'utf8')) as unknown;
    expect(list).toEqual(vectors.map(({ element }) => element));
    for (const { element, json } of vectors) {
      expect([element.name, readFileSync(join(VECTORS, element.bundle), 'utf8')]).toEqual([element.name, json]);
    }
    expect(readdirSync(VECTORS).sort()).toEqual(
      ['vectors.json', ...vectors.map(({ element }) => element.bundle)].sort(),
    );
  });

  test('get the answers that they name, and there is one for each fault', () => {
    const answers = vectors.map(({ element, json }) => ({ name: element.name, ...answer(json, element.arguments) }));
    expect(answers).toEqual(vectors.map(({ element: { name, exit, fault } }) => ({ name, exit, fault })));
    const named = new Set(answers.map(({ fault }) => fault));
    expect([...FAULTS, ...SHORTFALLS].filter((fault) => !named.has(fault))).toEqual([]);
  });
});

describe('A verdict', () => {
  const alice = streamOf('alice');
  const turns = ['alice', 'bob', 'alice', 'bob', 'alice!'];
  const now = SIGNED_AT + 3_600;

  test('says one line for each thing that is proved, and for each that is not', async () => {
    const book = EvidenceBook.of(turns);
    const files = evidenceFiles(await book.evidence(alice, { since: 2 }));
    const lastHash = book.events[4]?.metadata.hash ?? '';
    const full = verifyEvidence(
      files,
      trustFrom({
        ...{ keys: [LOG_VKEY, TIME_VKEY], since: Buffer.from(await book.head(2)), policy: Buffer.from(POLICY) },
        ...{ maxAge: 3_600, clientId: clientIdOf('alice'), now },
      }),
    );
    expect(full.result).toBe('HOLDS');
    expect(full.claims.map(({ claim, text }) => `${claim}: ${text}`)).toEqual([
      `SIGNATURE: the tree head is signed by the key that you gave, ${LOG_VKEY}`,
      expect.stringMatching(/^TREE_HEAD: hub\.example\/0195d3a1, size 5, root [0-9a-f]{64}$/),
      'EXTENDS: this head extends your head of size 2',
      `EVENTS: 3 of ${alice} in the tree, at leaves 0, 2, 4`,
      `CHAIN: whole from revision 0 to 2 (2026-05-04T03:02:01.000Z to 2026-05-04T03:02:01.000Z by the log's word), last hash ${lastHash}`,
      'STATEMENT: the log says that revision 2 is the last one in a tree of size 5; the stream is ended',
      'COSIGNED: by hub.example/0195d3a1/time at 2026-05-28T20:26:40.000Z',
      'COSIGNED: by witness.example/w1 at 2026-05-28T20:26:45.000Z',
      'POLICY: your policy is met, by w1',
      'AGE: the head is 3595 s old',
    ]);
    expect(full.notProved).toHaveLength(2);

    const bare = verifyEvidence(files, trustFrom({ keys: [LOG_VKEY], now }));
    expect(bare.claims.map(({ claim }) => claim)).toEqual(['SIGNATURE', 'TREE_HEAD', 'EVENTS', 'CHAIN', 'STATEMENT']);
    expect(bare.notProved).toEqual([
      expect.stringContaining('you gave no earlier head'),
      expect.stringContaining("the log's statement is true"),
      expect.stringContaining("after the tree's size of 5"),
      expect.stringContaining('nobody whose key you gave has cosigned it'),
      expect.stringContaining('hub.example/0195d3a1/time'),
      expect.stringContaining('witness.example/w1'),
    ]);
  });

  test('keeps what was proved before the first fault', async () => {
    const files = evidenceFiles(await EvidenceBook.of(turns).evidence(alice));
    files.delete('statement.note');
    expect(verifyEvidence(files, trustFrom({ keys: [LOG_VKEY], now }))).toMatchObject({
      ...{ result: 'DOES_NOT_HOLD', fault: { name: 'FILE_MISSING', file: 'statement.note' }, claims: [] },
    });
  });

  test('is the same for 1,001 events, whose names have four digits', async () => {
    const book = EvidenceBook.of(['bob', ...Array.from({ length: 1_001 }, () => 'alice')]);
    const files = evidenceFiles(await book.evidence(alice));
    expect([...files.keys()].filter((name) => name.endsWith('.leaf')).slice(-1)).toEqual(['events/1000.leaf']);
    const bundle = parseBundle(Buffer.from(evidenceJson(files)));
    const verdict = verifyEvidence(bundle, trustFrom({ keys: [LOG_VKEY], now }));
    expect(verdict).toMatchObject({ result: 'HOLDS' });
    expect(verdict.claims[2]?.text).toMatch(/^1001 of .* at leaves 1, 2, .*, 19, … 1001$/);
  });
});

test('what is no bundle is unreadable', () => {
  const format = 'consumer-clients/evidence@v1';
  for (const wrong of [
    '',
    '{',
    'null',
    '[]',
    '{"files":{}}',
    JSON.stringify({ format: 'consumer-clients/evidence@v2', files: {} }),
    JSON.stringify({ format, files: [] }),
    JSON.stringify({ format, files: {}, more: 1 }),
    JSON.stringify({ format, files: { checkpoint: 1 } }),
    JSON.stringify({ format, files: { 'events/000.leaf': 'AAA' } }),
    `{"format":"${format}","files":{"policy":"\\ud800"}}`,
    JSON.stringify({ format, files: { policy: 'a'.repeat(2 ** 21 + 1) } }),
  ]) {
    expect(() => parseBundle(Buffer.from(wrong))).toThrow(UnreadableBundle);
  }
  expect(() => parseBundle(Buffer.from([0x7b, 0xff]))).toThrow(UnreadableBundle);
});

test('a key, a held head or a policy that is wrong is an error of usage', async () => {
  const head = await EvidenceBook.of(['alice', 'bob']).head();
  const given = { keys: [LOG_VKEY], now: 0 };
  const policies = [
    '',
    'quorum w1\n',
    'quorum none\nquorum none\n',
    `witness none ${WITNESS_VKEY}\nquorum none\n`,
    `witness a ${WITNESS_VKEY}\nwitness b ${WITNESS_VKEY}\nquorum a\n`,
    `witness a ${WITNESS_VKEY}\ngroup g 2 a\nquorum g\n`,
    `witness a ${WITNESS_VKEY}\ngroup g 0 a\nquorum g\n`,
    `witness a ${WITNESS_VKEY}\ngroup g 1 a a\nquorum g\n`,
    `witness a ${LOG_VKEY}\nquorum a\n`,
    `log ${WITNESS_VKEY}\nquorum none\n`,
    'allow everything\nquorum none\n',
  ];
  for (const wrong of [
    { ...given, keys: [] },
    { ...given, keys: [TIME_VKEY] },
    { ...given, keys: [LOG_VKEY, LOG_VKEY] },
    { ...given, keys: ['key'] },
    { ...given, keys: [LOG_VKEY.replace('hub', 'hab')] },
    { ...given, since: Buffer.from('head') },
    { ...given, since: Buffer.from(head.replace('\n2\n', '\n3\n')) },
    { ...given, since: Buffer.from(head.replaceAll('hub', 'hab')) },
    ...policies.map((policy) => ({ ...given, policy: Buffer.from(policy) })),
  ]) {
    expect(() => trustFrom(wrong)).toThrow(WrongArgument);
  }
});
