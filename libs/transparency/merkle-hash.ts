import { hash } from 'node:crypto';

/** The length of every hash of the tree, in bytes: SHA-256. */
export const HASH_BYTES = 32;

/** The root of the tree that has no leaves: SHA-256 of nothing (RFC 6962, section 2.1). */
export const EMPTY_ROOT: Uint8Array = hash('sha256', '', 'buffer');

/** Returns SHA-256(0x00 ‖ entry): the hash of a leaf (RFC 6962, section 2.1). */
export function leafHash(entry: Uint8Array): Uint8Array {
  const input = Buffer.allocUnsafe(entry.length + 1);
  input[0] = 0;
  input.set(entry, 1);
  return hash('sha256', input, 'buffer');
}

/** Returns SHA-256(0x01 ‖ left ‖ right): the hash of an inner node (RFC 6962, section 2.1). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_BYTES);
  return hash('sha256', nodeInput, 'buffer');
}

// One buffer for all nodes: each call fills and hashes it before another call can begin.
const nodeInput = Buffer.alloc(1 + 2 * HASH_BYTES);
nodeInput[0] = 1;

/**
 * Returns the root over `hashes`, which are the roots of neighbouring subtrees of one size. The tree over them is split
 * at the largest power of two below their number (RFC 6962, section 2.1).
 */
export function rootOver(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    let left: Uint8Array | undefined;
    for (const hash of level) {
      if (left) above.push(nodeHash(left, hash));
      left = left ? undefined : hash;
    }
    // A last hash without a neighbour belongs to the right part of every split above it: it rises unchanged.
    if (left) above.push(left);
    level = above;
  }
  return level[0] ?? EMPTY_ROOT;
}
