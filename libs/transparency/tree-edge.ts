import { EMPTY_ROOT, nodeHash, rootOver } from './merkle-hash.js';
import { type Tile, TILE_WIDTH } from './tile.js';

/** A tile that has become full, and so will never change. */
export type FullTile = Omit<Tile, 'width'> & { readonly hashes: readonly Uint8Array[] };

/**
 * The right edge of the tree: the hashes that are in no full tile yet, at most 255 for each level. It is all that is
 * needed to append leaves and to compute the root.
 */
export class TreeEdge {
  private constructor(
    private leaves: number,
    private readonly levels: Uint8Array[][],
  ) {}

  static empty(): TreeEdge {
    return new TreeEdge(0, []);
  }

  /**
   * Restores an edge. `levels`: the hashes of each level's partial tile, level 0 first. Throws `RangeError` if their
   * numbers are not those of a tree with `size` leaves.
   */
  static restore(size: number, levels: readonly (readonly Uint8Array[])[]): TreeEdge {
    const edge = new TreeEdge(
      size,
      levels.map((hashes) => [...hashes]),
    );
    for (let level = 0, rest = size; level < levels.length || rest > 0; level++, rest = Math.floor(rest / TILE_WIDTH)) {
      const found = levels[level]?.length ?? 0;
      if (found === rest % TILE_WIDTH) continue;
      throw new RangeError(
        `Level ${level} of a tree of ${size} leaves ends with ${rest % TILE_WIDTH} hashes, not ${found}`,
      );
    }
    return edge;
  }

  /** The number of leaves. */
  get size(): number {
    return this.leaves;
  }

  /** The hashes of each level's partial tile, level 0 first: what `restore` takes. */
  get partialTiles(): readonly (readonly Uint8Array[])[] {
    return this.levels;
  }

  /** Appends a leaf by its hash. Returns the tiles that became full, the lowest level first: usually none. */
  append(leaf: Uint8Array): readonly FullTile[] {
    const full: FullTile[] = [];
    let hash = leaf;
    for (let level = 0; ; level++) {
      const hashes = (this.levels[level] ??= []);
      hashes.push(hash);
      if (hashes.length < TILE_WIDTH) break;
      full.push({ level, index: Math.floor(this.leaves / TILE_WIDTH ** (level + 1)), hashes });
      this.levels[level] = [];
      hash = rootOver(hashes);
    }
    this.leaves++;
    return full;
  }

  /** Returns the root over all leaves. */
  root(): Uint8Array {
    let root: Uint8Array | undefined;
    // From right to left: the perfect subtrees, the smallest first (RFC 6962, section 2.1).
    for (const hashes of this.levels) {
      let end = hashes.length;
      for (let width = 1; end > 0; width *= 2) {
        if (!(end & width)) continue;
        const subtree = rootOver(hashes.slice(end - width, end));
        root = root ? nodeHash(subtree, root) : subtree;
        end -= width;
      }
    }
    return root ?? EMPTY_ROOT;
  }
}
