import { HASH_BYTES } from './merkle-hash.js';

/** The height of a tile: its hashes are those of every eighth level of the tree (C2SP tlog-tiles). */
export const TILE_HEIGHT = 8;

/** The hashes in a full tile. */
export const TILE_WIDTH = 2 ** TILE_HEIGHT;

/**
 * One tile of the tree. `level` 0 holds leaf hashes; a hash at `level` L is the root of 256^L leaves. `index`: the
 * tile's place among the tiles of its level, from 0. `width`: how many hashes the tile has, 1 to 256.
 */
export interface Tile {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

/** A bundle of up to 256 entries, the leaves' contents. */
export interface EntryBundle {
  readonly index: number;
  readonly width: number;
}

/** Returns the tile's path: `tile/<L>/<N>[.p/<W>]`, with N in groups of three digits (C2SP tlog-tiles). */
export const tilePath = ({ level, index, width }: Tile): string => `tile/${level}/${numberedPath(index, width)}`;

/** Returns the bundle's path: `tile/entries/<N>[.p/<W>]`. */
export const entryBundlePath = ({ index, width }: EntryBundle): string => `tile/entries/${numberedPath(index, width)}`;

/** 1234067 becomes `x001/x234/067`; a width below 256 is added as `.p/<width>`. */
function numberedPath(index: number, width: number): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  return `${padded.replace(/\d{3}(?=\d)/g, 'x$&/')}${width < TILE_WIDTH ? `.p/${width}` : ''}`;
}

const PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*)(\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

// 2^53 leaves fill seven levels of tiles.
const HIGHEST_LEVEL = 6;

/**
 * Reads a path that `tilePath` or `entryBundlePath` could have written. Returns `undefined` for every other text, also
 * for a path with needless zeros, since a tile has one path only.
 */
export function parseTilePath(path: string): Tile | (EntryBundle & { readonly level: 'entries' }) | undefined {
  const [, kind, groups = '', last, partial] = PATH.exec(path) ?? [];
  if (kind === undefined || last === undefined) return undefined;
  const width = partial === undefined ? TILE_WIDTH : Number(partial);
  const index = Number(groups.replace(/[x/]/g, '') + last);
  const level = kind === 'entries' ? kind : Number(kind);
  if (level !== 'entries' && level > HIGHEST_LEVEL) return undefined;
  if (!Number.isSafeInteger(index * TILE_WIDTH) || width > TILE_WIDTH) return undefined;
  const tile = { level, index, width } as Tile | (EntryBundle & { readonly level: 'entries' });
  const written = tile.level === 'entries' ? entryBundlePath(tile) : tilePath(tile);
  return written === path ? tile : undefined;
}

/** Returns how many hashes the tile has in a tree of `size` leaves: 0 if the tree does not reach it. */
export function tileWidth(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** Returns the hashes of a tile's bytes, as views of them. */
export function hashesIn(bytes: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += HASH_BYTES) hashes.push(bytes.subarray(start, start + HASH_BYTES));
  return hashes;
}

/** Returns the bytes of an entry bundle: each entry after its length as an unsigned 16-bit big-endian number. */
export function entryBundleBytes(entries: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}
