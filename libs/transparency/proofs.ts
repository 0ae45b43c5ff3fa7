import { EMPTY_ROOT, nodeHash, rootOver } from './merkle-hash.js';
import { TILE_HEIGHT, TILE_WIDTH } from './tile.js';

/**
 * Returns the hashes of a tile: all that are stored, or at least those of the tree for which a proof is made. Tiles of
 * one proof are asked for together.
 */
export type ReadTile = (level: number, index: number) => Promise<readonly Uint8Array[]>;

/** A proof was asked for that the tree does not have: an index or a size beyond its own. */
export class NoSuchProof extends RangeError {}

/**
 * Returns the inclusion proof of leaf `index` in the tree of the first `size` leaves: the leaf's sibling first (RFC
 * 6962, section 2.1.1). Throws `NoSuchProof`, and whatever `readTile` throws.
 */
export async function inclusionProof(index: number, size: number, readTile: ReadTile): Promise<Uint8Array[]> {
  if (!(index >= 0 && index < size)) throw new NoSuchProof(`A tree of ${size} leaves has no leaf ${index}`);
  return hashesOf(inclusionRanges(index, size), readTile);
}

/**
 * Returns the proof that the tree of the first `size` leaves extends the tree of the first `oldSize` leaves (RFC 6962,
 * section 2.1.2). It is empty for equal sizes and for an empty old tree, where there is nothing to prove. Throws
 * `NoSuchProof`, and whatever `readTile` throws.
 */
export async function consistencyProof(oldSize: number, size: number, readTile: ReadTile): Promise<Uint8Array[]> {
  if (!(oldSize >= 0 && oldSize <= size)) throw new NoSuchProof(`A tree of ${size} leaves has no part of ${oldSize}`);
  return oldSize === 0 ? [] : hashesOf(consistencyRanges(oldSize, size), readTile);
}

/** Returns the root of the tree of the first `size` leaves, from its tiles. Throws whatever `readTile` throws. */
export async function rootOf(size: number, readTile: ReadTile): Promise<Uint8Array> {
  const [root = EMPTY_ROOT] = await hashesOf(size > 0 ? [{ start: 0, end: size }] : [], readTile);
  return root;
}

/** The leaves from `start` up to, without, `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

function inclusionRanges(index: number, size: number): Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const split = start + largestPowerOfTwoBelow(end - start);
    if (index < split) {
      ranges.push({ start: split, end });
      end = split;
    } else {
      ranges.push({ start, end: split });
      start = split;
    }
  }
  return ranges.reverse();
}

function consistencyRanges(oldSize: number, size: number): Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, size];
  while (end !== oldSize) {
    const split = start + largestPowerOfTwoBelow(end - start);
    if (oldSize <= split) {
      ranges.push({ start: split, end });
      end = split;
    } else {
      ranges.push({ start, end: split });
      start = split;
    }
  }
  // A verifier knows the old root, so the proof leaves it out where it is itself a node of the new tree.
  if (start > 0) ranges.push({ start, end });
  return ranges.reverse();
}

function largestPowerOfTwoBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

/** A perfect subtree: the leaves `index` · 2^`height` up to, without, (`index` + 1) · 2^`height`. */
interface Subtree {
  readonly height: number;
  readonly index: number;
}

/** Returns the perfect subtrees of a range whose start is the start of a subtree of the RFC's split, left to right. */
function subtreesOf({ start, end }: Range): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let from = start; from < end;) {
    let height = 0;
    while (from % 2 ** (height + 1) === 0 && from + 2 ** (height + 1) <= end) height++;
    subtrees.push({ height, index: from / 2 ** height });
    from += 2 ** height;
  }
  return subtrees;
}

/** Returns the hash of each range. Each tile is read once, and all of them together. */
async function hashesOf(ranges: readonly Range[], readTile: ReadTile): Promise<Uint8Array[]> {
  const reads = new Map<string, Promise<readonly Uint8Array[]>>();
  const read = (level: number, index: number) => {
    const key = `${level}/${index}`;
    let tile = reads.get(key);
    if (!tile) reads.set(key, (tile = readTile(level, index)));
    return tile;
  };
  return Promise.all(
    ranges.map(async (range) => {
      const roots = await Promise.all(subtreesOf(range).map((subtree) => subtreeRoot(subtree, read)));
      return roots.reduceRight((right, left) => nodeHash(left, right));
    }),
  );
}

async function subtreeRoot({ height, index }: Subtree, read: ReadTile): Promise<Uint8Array> {
  const level = Math.floor(height / TILE_HEIGHT);
  const width = 2 ** (height % TILE_HEIGHT);
  const first = index * width;
  const tile = Math.floor(first / TILE_WIDTH);
  const hashes = await read(level, tile);
  const from = first - tile * TILE_WIDTH;
  if (hashes.length < from + width) {
    throw new RangeError(`Tile ${level}/${tile} has ${hashes.length} hashes, fewer than the ${from + width} needed`);
  }
  return rootOver(hashes.slice(from, from + width));
}
