import { createPublicKey, verify } from 'node:crypto';
import fc from 'fast-check';
import { openKey } from '../../test/support/transparency/open-key.js';
import {
  consistencyBody,
  cosign,
  entryBundleBytes,
  entryBundlePath,
  isKeyName,
  KEY_TYPE,
  keyIdOf,
  noteOf,
  parseNote,
  parseTilePath,
  parseTreeHeadText,
  publicKeyBytes,
  signText,
  tilePath,
  tileWidth,
  tlogProof,
  treeHeadText,
  vkeyOf,
} from './index.js';

const origin = 'hub.example/0a1b';
const head = treeHeadText({ origin, size: 3, root: Buffer.alloc(32, 7) });

test('a tree head is origin, size and root, a line each, and nothing else is read as one', () => {
  expect(head).toBe('hub.example/0a1b\n3\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n');
  expect(parseTreeHeadText(head)).toEqual({ origin, size: 3, root: Buffer.alloc(32, 7) });
  for (const wrong of [
    head.slice(0, -1),
    `${head}extension\n`,
    head.replace('\n3\n', '\n03\n'),
    head.replace('\n3\n', '\n-3\n'),
    head.replace('\n3\n', '\n9007199254740993\n'),
    head.replace('BwcH', ''),
    head.replace('wc=', 'wd='), // the last bits of base64 that carry nothing
    head.replace(origin, 'hub example'),
    '',
  ]) {
    expect(parseTreeHeadText(wrong)).toBeUndefined();
  }
});

test('a signed note has a line for each signature, by the key id that the vkey shows', () => {
  const key = openKey(1);
  const publicKey = publicKeyBytes(key);
  const note = noteOf(head, [signText(origin, key, head), cosign(`${origin}/time`, openKey(2), 1_700_000_000, head)]);
  const lines = note.slice(head.length).split('\n');
  expect(lines).toEqual(['', expect.stringMatching(/^— hub.example\/0a1b \S+$/u), expect.stringMatching(/^— /u), '']);

  const parsed = parseNote(note);
  expect(parsed?.text).toBe(head);
  const [signed, cosigned] = parsed?.signatures ?? [];
  const id = Buffer.from(keyIdOf({ name: origin, type: KEY_TYPE.ED25519, publicKey }));
  expect(signed?.keyId).toEqual(id);
  expect(verify(null, Buffer.from(head), createPublicKey(key), signed?.signature ?? Buffer.of())).toBe(true);
  const vkey = vkeyOf({ name: origin, type: KEY_TYPE.ED25519, publicKey });
  expect(vkey).toMatch(new RegExp(`^hub.example/0a1b\\+${id.toString('hex')}\\+AY`));

  const signature = cosigned?.signature ?? Buffer.of();
  expect(Buffer.from(signature.subarray(0, 8)).readBigUInt64BE()).toBe(1_700_000_000n);
  const message = Buffer.from(`cosignature/v1\ntime 1700000000\n${head}`);
  expect(verify(null, message, createPublicKey(openKey(2)), signature.subarray(8))).toBe(true);
});

test('the example key of golang.org/x/mod/sumdb/note has the id that its vkey shows', () => {
  const publicKey = Buffer.from('ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW', 'base64').subarray(1);
  const key = { name: 'PeterNeumann', type: KEY_TYPE.ED25519, publicKey };
  expect(vkeyOf(key)).toBe('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
});

test('what is no note is not read as one', () => {
  const note = noteOf(head, [signText(origin, openKey(1), head)]);
  for (const wrong of [
    '',
    head,
    note.slice(0, -1),
    note.replace('— ', '- '),
    note.replace(/=*\n$/, '!\n'),
    `${note}\n`,
  ]) {
    expect(parseNote(wrong)).toBeUndefined();
  }
  expect(['a', 'hub.example/1', 'Ω'].map(isKeyName)).toEqual([true, true, true]);
  expect(['', 'a b', 'a+b', 'a\nb', 'a\u00a0b', 'a\0'].map(isKeyName)).toEqual(Array(6).fill(false));
});

test('proofs are lines of base64 between their first lines and the head', () => {
  const hashes = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const note = noteOf(head, [signText(origin, openKey(1), head)]);
  const lines = hashes.map((hash) => hash.toString('base64')).join('\n');
  expect(tlogProof(2, hashes, note)).toBe(`c2sp.org/tlog-proof@v1\nindex 2\n${lines}\n\n${note}`);
  expect(consistencyBody(2, hashes, note)).toBe(`old 2\n${lines}\n\n${note}`);
  expect(tlogProof(0, [], note)).toBe(`c2sp.org/tlog-proof@v1\nindex 0\n\n${note}`);
});

test('a tile has one path, and only that path is read', () => {
  expect(tilePath({ level: 0, index: 1_234_067, width: 256 })).toBe('tile/0/x001/x234/067');
  expect(tilePath({ level: 1, index: 0, width: 3 })).toBe('tile/1/000.p/3');
  expect(entryBundlePath({ index: 1_000, width: 255 })).toBe('tile/entries/x001/000.p/255');
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 2, 6, 'entries' as const),
      fc.oneof(fc.integer({ min: 0, max: 2_000_000_000 }), fc.constantFrom(0, 999, 1_000, 999_999, 1_000_000)),
      fc.integer({ min: 1, max: 256 }),
      (level, index, width) => {
        const path = level === 'entries' ? entryBundlePath({ index, width }) : tilePath({ level, index, width });
        expect(parseTilePath(path)).toEqual({ level, index, width });
      },
    ),
  );
  for (const wrong of [
    'tile/0/0',
    'tile/00/000',
    'tile/7/000',
    'tile/0/x000/001',
    'tile/0/001/002',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/257',
    'tile/0/000.p/01',
    'tile/0/x999/x999/x999/x999/x999/999',
    '/tile/0/000',
    'tile/0/../000',
  ]) {
    expect([wrong, parseTilePath(wrong)]).toEqual([wrong, undefined]);
  }
});

test('the width of a tile follows from the size of the tree', () => {
  expect([0, 1, 255, 256, 300].map((size) => tileWidth(0, 0, size))).toEqual([0, 1, 255, 256, 256]);
  expect([256, 257, 511, 512].map((size) => tileWidth(0, 1, size))).toEqual([0, 1, 255, 256]);
  expect([255, 256, 65_535, 65_536].map((size) => tileWidth(1, 0, size))).toEqual([0, 1, 255, 256]);
});

test('an entry bundle has the length before each entry', () => {
  const bytes = entryBundleBytes([Buffer.alloc(32, 1), Buffer.from('ab')]);
  expect(Buffer.from(bytes).toString('hex')).toBe(`0020${'01'.repeat(32)}00026162`);
});
