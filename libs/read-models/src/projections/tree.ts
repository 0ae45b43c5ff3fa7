import { type FollowedEvent, isLeaf } from '#event-log';
import type { Position } from '#events';
import { leafHash, nodeHash, TILE_WIDTH } from '#transparency';
import type { DocumentSchema } from '../document-schema.js';
import type { Projection } from './projection.js';

/**
 * One tile of the tree over the log: up to 256 hashes of one level (C2SP tlog-tiles). Its id is `<level>/<index>`. Once
 * the tile is full, it never changes.
 */
export interface TileDocument {
  readonly level: number;
  readonly index: number;
  /** The tile's hashes, in base64. */
  readonly hashes: readonly string[];
  /**
   * The leaves that make no whole hash of this level yet, as the roots of perfect subtrees in base64, the largest first.
   * Empty at level 0.
   */
  readonly pending: readonly string[];
  /** Position in the log of the tile's first leaf. */
  readonly firstPosition: Position;
}

/** The tiles of these levels are kept. They are enough for 2^40 leaves. */
const LEVELS = [0, 1, 2, 3, 4] as const;

/** Returns how many leaves are below one hash of the level. */
const leavesBelow = (level: number): number => TILE_WIDTH ** level;

export const tileId = (level: number, index: number): string => `${level}/${index}`;

/** Returns the number of the leaf that the event is. */
function leafIndexOf({ ordinal }: FollowedEvent): number {
  if (ordinal === undefined) throw new TypeError('The event is not numbered');
  return ordinal;
}

const tileIndexOf = (leafIndex: number, level: number): number => Math.floor(leafIndex / leavesBelow(level + 1));

const documentsOf = (event: FollowedEvent): readonly string[] => {
  const leafIndex = leafIndexOf(event);
  return LEVELS.map((level) => tileId(level, tileIndexOf(leafIndex, level)));
};

/**
 * Appends a leaf to a tile. Each tile is computed from the leaves alone, also at the higher levels, so that every
 * document is a fold of its own events, and can be checked and rebuilt like all documents. Throws `Error` if the tile
 * does not hold exactly the leaves before this one.
 */
function apply(tile: TileDocument | undefined, event: FollowedEvent, id: string): TileDocument {
  const leafIndex = leafIndexOf(event);
  const level = Number(id.slice(0, id.indexOf('/')));
  const { hashes, pending, firstPosition } = tile ?? { hashes: [], pending: [], firstPosition: event.position };
  const leavesOfHash = leavesBelow(level);
  const unfinished = leafIndex % leavesOfHash;
  const leavesHeld = ((leafIndex - unfinished) / leavesOfHash) % TILE_WIDTH;
  if (hashes.length !== leavesHeld || pending.length !== onesIn(unfinished)) {
    throw new Error(`Tile ${id} does not end before leaf ${leafIndex}`);
  }
  const roots = withLeaf(pending, unfinished, leafOf(event));
  const isWhole = unfinished + 1 === leavesOfHash;
  return {
    level,
    index: tileIndexOf(leafIndex, level),
    hashes: isWhole ? [...hashes, ...roots] : hashes,
    pending: isWhole ? [] : roots,
    firstPosition,
  };
}

let latest: { readonly event: FollowedEvent; readonly leaf: Uint8Array } | undefined;

/** Returns the event's leaf hash. The last one is remembered, because an event is applied to a tile of each level. */
function leafOf(event: FollowedEvent): Uint8Array {
  if (latest?.event !== event) latest = { event, leaf: leafHash(Buffer.from(event.metadata.hash, 'hex')) };
  return latest.leaf;
}

/** Adds a leaf to the roots of perfect subtrees over `count` leaves: equally large neighbours become one subtree. */
function withLeaf(roots: readonly string[], count: number, leaf: Uint8Array): readonly string[] {
  let hash = leaf;
  let kept = roots.length;
  for (let rest = count; rest % 2 === 1; rest = Math.floor(rest / 2)) {
    kept -= 1;
    hash = nodeHash(Buffer.from(roots[kept] ?? '', 'base64'), hash);
  }
  return [...roots.slice(0, kept), Buffer.from(hash).toString('base64')];
}

/** Returns how many ones the binary number has. */
function onesIn(count: number): number {
  let ones = 0;
  for (let rest = count; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}

const document: DocumentSchema<TileDocument> = {
  fields: {
    level: 'integer',
    index: 'integer',
    hashes: { listOf: 'string' },
    pending: { listOf: 'string' },
    firstPosition: 'string',
  },
};

/**
 * The Merkle tree over the log, as tiles. The leaves are the chain hashes of our events in the log's order, so the tree
 * binds their contents and their order.
 */
export const tree: Projection<TileDocument> = {
  name: 'tree',
  version: 1,
  streams: [],
  isNumbered: isLeaf,
  indexes: [['level', 'firstPosition']],
  document,
  documentsOf,
  apply,
  count: {
    changeBy: (event) => LEVELS.filter((level) => leafIndexOf(event) % leavesBelow(level + 1) === 0).length,
  },
};
