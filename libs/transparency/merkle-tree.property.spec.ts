import { createHash } from 'node:crypto';
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js';
import fc from 'fast-check';
import { grownTree } from '../../test/support/transparency/grown-tree.js';
import { consistencyProof, hashesIn, inclusionProof, leafHash, NoSuchProof, rootOf, TreeEdge } from './index.js';

const sha256 = (...parts: (Uint8Array | string)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

/** RFC 6962, section 2.1, as it is written there. */
const mth = (leaves: readonly Uint8Array[]): Uint8Array => {
  const [leaf = sha256('')] = leaves;
  if (leaves.length < 2) return leaf;
  const k = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return sha256('\x01', mth(leaves.slice(0, k)), mth(leaves.slice(k)));
};

/** RFC 6962, section 2.1.2, as it is written there. */
const subproof = (m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] => {
  const n = leaves.length;
  if (m === n) return whole ? [] : [mth(leaves)];
  const k = 2 ** Math.ceil(Math.log2(n) - 1);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), mth(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
};

const entry = (index: number) => sha256(`entry ${index}`);

const grow = (size: number) => grownTree(size, entry);

const SIZE = 70_000; // more than 256², so there are tiles of three levels
const tree = grow(SIZE);
const leaves = Array.from({ length: SIZE }, (_, index) => leafHash(entry(index)));

// Sizes at which something ends are the likely places of faults.
const sizes = fc.oneof(
  fc.integer({ min: 1, max: 600 }),
  fc.constantFrom(255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, SIZE),
  fc.integer({ min: 1, max: SIZE }),
);

test('the root of each size is the one of RFC 6962, from the edge and from the tiles', async () => {
  expect(Buffer.from(TreeEdge.empty().root())).toEqual(sha256(''));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1_200 }), async (size) => {
      const expected = mth(leaves.slice(0, size));
      expect(Buffer.from(grow(size).edge.root())).toEqual(expected);
      expect(Buffer.from(await rootOf(size, tree.readTile))).toEqual(expected);
    }),
    { numRuns: 30 },
  );
  expect(Buffer.from(tree.edge.root())).toEqual(mth(leaves));
});

test('sigstore accepts each inclusion proof, and none in which one bit was changed', async () => {
  const accepts = (body: Buffer, index: number, size: number, hashes: readonly Uint8Array[], root: Uint8Array) => {
    try {
      const proof = { logIndex: String(index), hashes: hashes.map((each) => Buffer.from(each)) };
      verifyMerkleInclusion(
        { canonicalizedBody: body, inclusionProof: proof } as never,
        { logSize: BigInt(size), logHash: Buffer.from(root) } as never,
      );
      return true;
    } catch {
      return false;
    }
  };
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, anywhere, anyBit) => {
      const index = anywhere % size;
      const root = await rootOf(size, tree.readTile);
      const proof = await inclusionProof(index, size, tree.readTile);
      expect(accepts(entry(index), index, size, proof, root)).toBe(true);
      if (proof.length === 0) return;
      const changed = proof.map((hash, place) => {
        const copy = Buffer.from(hash);
        if (place === anyBit % proof.length)
          copy.writeUInt8(copy.readUInt8(anyBit % 32) ^ (1 << (anyBit % 8)), anyBit % 32);
        return copy;
      });
      expect(accepts(entry(index), index, size, changed, root)).toBe(false);
      expect(accepts(entry(index + 1), index, size, proof, root)).toBe(false);
    }),
    { numRuns: 100 },
  );
});

test('a consistency proof is the one of RFC 6962', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1_000 }), fc.nat(), async (size, anywhere) => {
      const oldSize = 1 + (anywhere % size);
      const proof = await consistencyProof(oldSize, size, tree.readTile);
      expect(proof.map((hash) => Buffer.from(hash))).toEqual(subproof(oldSize, leaves.slice(0, size), true));
    }),
    { numRuns: 50 },
  );
  expect(await consistencyProof(0, SIZE, tree.readTile)).toEqual([]);
});

test('an edge that was stored and restored goes on as before', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000 }), fc.integer({ min: 1, max: 600 }), (size, more) => {
      const { edge } = grow(size);
      const stored = edge.partialTiles.map((hashes) => Buffer.concat(hashes));
      const restored = TreeEdge.restore(size, stored.map(hashesIn));
      for (let index = size; index < size + more; index++) restored.append(leafHash(entry(index)));
      expect(Buffer.from(restored.root())).toEqual(mth(leaves.slice(0, size + more)));
    }),
    { numRuns: 30 },
  );
  expect(() => TreeEdge.restore(3, [[entry(0)]])).toThrow(RangeError);
  expect(() => TreeEdge.restore(1, [[entry(0)], [entry(1)]])).toThrow(RangeError);
});

test('a proof that the tree does not have, and a tile that lacks hashes, are errors', async () => {
  await expect(inclusionProof(5, 5, tree.readTile)).rejects.toThrow(NoSuchProof);
  await expect(inclusionProof(-1, 5, tree.readTile)).rejects.toThrow(NoSuchProof);
  await expect(consistencyProof(6, 5, tree.readTile)).rejects.toThrow(NoSuchProof);
  await expect(inclusionProof(0, SIZE + 256, tree.readTile)).rejects.toThrow(/fewer than/);
});
