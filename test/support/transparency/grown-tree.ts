import { leafHash, TreeEdge } from '#transparency';

/**
 * Grows a tree of `size` leaves, as a store would keep it: full tiles, each stored once, and the edge. `entry`: returns
 * the content of a leaf.
 */
export function grownTree(size: number, entry: (index: number) => Uint8Array) {
  const full = new Map<string, readonly Uint8Array[]>();
  const edge = TreeEdge.empty();
  for (let index = 0; index < size; index++) {
    for (const tile of edge.append(leafHash(entry(index)))) {
      const key = `${tile.level}/${tile.index}`;
      expect(full.has(key)).toBe(false);
      full.set(key, tile.hashes);
    }
  }
  const readTile = (level: number, index: number) =>
    Promise.resolve(full.get(`${level}/${index}`) ?? edge.partialTiles[level] ?? []);
  return { edge, readTile };
}
