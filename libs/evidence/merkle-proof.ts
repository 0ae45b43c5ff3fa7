import { createHash } from 'node:crypto';

/** The root of the tree without leaves (RFC 9162, section 2.1.1). */
export const ROOT_OF_NOTHING: Uint8Array = createHash('sha256').digest();

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
};

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const parent = (left: Uint8Array, right: Uint8Array) => sha256(NODE, left, right);

export const areEqual = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** A tree, as a head tells it. `size`: the number of leaves. */
export interface Tree {
  readonly size: number;
  readonly root: Uint8Array;
}

/** Whether the proof shows that `entry` is the leaf `index` of the tree (RFC 9162, section 2.1.3.2). */
export function isIncluded(entry: Uint8Array, index: number, proof: readonly Uint8Array[], tree: Tree): boolean {
  if (index >= tree.size) return false;
  // Numbers of up to 53 bits: the shifts of JavaScript's numbers would cut them to 32.
  let node = BigInt(index);
  let last = BigInt(tree.size) - 1n;
  let hash = sha256(LEAF, entry);
  for (const sibling of proof) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      hash = parent(sibling, hash);
      while (node % 2n === 0n && node !== 0n) [node, last] = [node / 2n, last / 2n];
    } else {
      hash = parent(hash, sibling);
    }
    [node, last] = [node / 2n, last / 2n];
  }
  return last === 0n && areEqual(hash, tree.root);
}

/**
 * Whether the proof shows that `newer` extends `older` (RFC 9162, section 2.1.4.2), which has at most as many leaves.
 * Any tree extends the one without leaves, and needs no proof for it.
 */
export function isExtended(older: Tree, newer: Tree, proof: readonly Uint8Array[]): boolean {
  if (older.size === 0) return proof.length === 0 && areEqual(older.root, ROOT_OF_NOTHING);
  if (older.size === newer.size) return proof.length === 0 && areEqual(older.root, newer.root);
  let node = BigInt(older.size) - 1n;
  let last = BigInt(newer.size) - 1n;
  while (node % 2n === 1n) [node, last] = [node / 2n, last / 2n];
  // The proof begins with the largest subtree at the old tree's right edge, unless that is the whole old tree.
  const [first, ...rest] = node === 0n ? [older.root, ...proof] : proof;
  if (!first) return false;
  let oldHash = first;
  let newHash = first;
  for (const hash of rest) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      oldHash = parent(hash, oldHash);
      newHash = parent(hash, newHash);
      while (node % 2n === 0n && node !== 0n) [node, last] = [node / 2n, last / 2n];
    } else {
      newHash = parent(newHash, hash);
    }
    [node, last] = [node / 2n, last / 2n];
  }
  return last === 0n && areEqual(oldHash, older.root) && areEqual(newHash, newer.root);
}
