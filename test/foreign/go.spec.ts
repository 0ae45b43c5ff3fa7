import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  consistencyBody,
  consistencyProof,
  cosign,
  inclusionProof,
  KEY_TYPE,
  noteOf,
  publicKeyBytes,
  rootOf,
  signText,
  tilePath,
  tlogProof,
  treeHeadText,
  vkeyOf,
} from '#transparency';
import { grownTree } from '../support/transparency/grown-tree.js';
import { openKey } from '../support/transparency/open-key.js';

const hasGo = spawnSync('go', ['version']).status === 0;

const ORIGIN = 'hub.example/0195d3a1';
const COSIGNER = `${ORIGIN}/time`;
const [logKey, cosignerKey] = [openKey(1), openKey(2)];
const vkeys = {
  origin: ORIGIN,
  logKey: vkeyOf({ name: ORIGIN, type: KEY_TYPE.ED25519, publicKey: publicKeyBytes(logKey) }),
  cosignerKey: vkeyOf({ name: COSIGNER, type: KEY_TYPE.COSIGNATURE, publicKey: publicKeyBytes(cosignerKey) }),
};

/** An entry is the 32 bytes of a hash, as in the log. */
const entry = (index: number) => createHash('sha256').update(`event ${index}`).digest();

const SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 1_000, 65_535, 65_536, 65_537, 66_000];

/** Changes the lowest bit of one byte of a text. */
const flipped = (text: string, place: number) => {
  const bytes = Buffer.from(text);
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
  return bytes.toString('latin1');
};

(hasGo ? describe : describe.skip)('programs in Go that others wrote', () => {
  let folder: string;
  let checker: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'go-'));
    checker = join(folder, 'check');
    const build = spawnSync('go', ['build', '-o', checker, '.'], { cwd: join(__dirname, 'go'), encoding: 'utf8' });
    expect([build.status, build.stderr.replace(/^go: downloading.*\n/gm, '')]).toEqual([0, '']);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  /** Returns the program's answer to each claim: `accepted`, or `refused` and why. */
  const check = (claims: object[]): string[] => {
    const input = claims.map((claim) => `${JSON.stringify(claim)}\n`).join('');
    const { stdout, stderr } = spawnSync(checker, { input, encoding: 'utf8', maxBuffer: 2 ** 27 });
    expect(stderr).toBe('');
    return stdout.trimEnd().split('\n');
  };

  const { readTile } = grownTree(Math.max(...SIZES), entry);
  const headOf = async (size: number) => {
    const text = treeHeadText({ origin: ORIGIN, size, root: await rootOf(size, readTile) });
    return noteOf(text, [signText(ORIGIN, logKey, text), cosign(COSIGNER, cosignerKey, 1_780_000_000, text)]);
  };

  test('accept our heads and proofs of inclusion, and refuse each with one bit changed', async () => {
    const good: object[] = [];
    const bad: object[] = [];
    for (const size of SIZES) {
      const head = await headOf(size);
      for (const index of new Set([0, size >> 1, size - 1])) {
        const proof = tlogProof(index, await inclusionProof(index, size, readTile), head);
        const claim = { kind: 'inclusion', ...vkeys, entry: entry(index).toString('base64') };
        good.push({ ...claim, proof });
        bad.push({ ...claim, proof, entry: entry(index + 1).toString('base64') });
        // Each tenth place: a bit of the index, of a hash, of the head's lines, of a signature.
        for (let place = 0; place < proof.length; place += 10) bad.push({ ...claim, proof: flipped(proof, place) });
      }
    }
    expect(new Set(check(good))).toEqual(new Set(['accepted']));
    expect(check(bad).filter((answer) => answer === 'accepted')).toEqual([]);
  });

  test('accept our proofs of consistency, and refuse each with one bit changed', async () => {
    const good: object[] = [];
    const bad: object[] = [];
    for (const size of SIZES) {
      const head = await headOf(size);
      for (const oldSize of SIZES.filter((each) => each <= size)) {
        const proof = consistencyBody(oldSize, await consistencyProof(oldSize, size, readTile), head);
        const oldRoot = Buffer.from(await rootOf(oldSize, readTile));
        const claim = { kind: 'consistency', ...vkeys, oldRoot: oldRoot.toString('base64') };
        good.push({ ...claim, proof });
        const otherRoot = Buffer.from(oldRoot);
        otherRoot.writeUInt8(otherRoot.readUInt8(0) ^ 1, 0);
        bad.push({ ...claim, proof, oldRoot: otherRoot.toString('base64') });
        for (let place = 4; place < proof.length; place += 20) bad.push({ ...claim, proof: flipped(proof, place) });
      }
    }
    expect(new Set(check(good))).toEqual(new Set(['accepted']));
    expect(check(bad).filter((answer) => answer === 'accepted')).toEqual([]);
  });

  test('write the same paths of tiles', () => {
    const tiles = [0, 1, 2].flatMap((level) =>
      [0, 1, 999, 1_000, 1_234_067].flatMap((index) => [1, 255, 256].map((width) => ({ level, index, width }))),
    );
    expect(new Set(check(tiles.map((tile) => ({ kind: 'tile', ...tile, path: tilePath(tile) }))))).toEqual(
      new Set(['accepted']),
    );
    expect(check([{ kind: 'tile', level: 0, index: 1, width: 256, path: 'tile/0/000' }])).toEqual([
      expect.stringContaining('sumdb writes'),
    ]);
  });
});
