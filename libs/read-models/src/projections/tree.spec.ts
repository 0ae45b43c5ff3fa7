import { createHash } from 'node:crypto';
import { followed } from '#event-log';
import type { RecordedEvent } from '#events';
import { tree } from '#read-models';
import { leafHash, rootOf, TreeEdge } from '#transparency';

type TileDocument = ReturnType<typeof tree.apply>;

const hashOf = (index: number) => createHash('sha256').update(`event ${index}`).digest('hex');

const eventAt = (index: number) =>
  ({ position: String(index).padStart(20, '0'), metadata: { hash: hashOf(index) } }) as RecordedEvent;

/** Folds events without a store. */
function fold(events: number) {
  const tiles = new Map<string, TileDocument>();
  let counted = 0;
  for (let index = 0; index < events; index++) {
    const event = followed(eventAt(index), index);
    if (typeof tree.count === 'object') counted += tree.count.changeBy(event);
    for (const id of tree.documentsOf(event)) tiles.set(id, tree.apply(tiles.get(id), event, id));
  }
  const readTile = (level: number, index: number) =>
    Promise.resolve((tiles.get(`${level}/${index}`)?.hashes ?? []).map((hash) => Buffer.from(hash, 'base64')));
  return { tiles, counted, readTile };
}

test('the tiles hold the tree over the log at every size, on three levels', async () => {
  const SIZE = 66_000;
  const { tiles, counted, readTile } = fold(SIZE);
  const edge = TreeEdge.empty();
  for (let size = 0; size <= SIZE; size++) {
    // Sizes at which tiles of each level begin and end, and some in between.
    if (size < 600 || size % 4_999 === 0 || Math.abs(size - 65_536) < 2) {
      expect([size, Buffer.from(await rootOf(size, readTile))]).toEqual([size, Buffer.from(edge.root())]);
    }
    edge.append(leafHash(Buffer.from(hashOf(size), 'hex')));
  }
  expect(tiles.size).toBe(counted);
  expect(tiles.get('2/0')?.hashes).toHaveLength(1);
});

test('a tile that lacks a leaf, or has one twice, is noticed at the next leaf', () => {
  const { tiles } = fold(300);
  for (const id of ['0/1', '1/0', '4/0']) {
    const append = (index: number) => tree.apply(tiles.get(id), followed(eventAt(index), index), id);
    expect(append(300).firstPosition).toBe(tiles.get(id)?.firstPosition);
    for (const wrong of [299, 301, 302]) expect(() => append(wrong)).toThrow(`Tile ${id} does not end before`);
  }
  expect(() => tree.apply(undefined, followed(eventAt(300), 300), '0/1')).toThrow(/does not end before leaf 300/);
});

test('every event of ours is a leaf, except the heads of the tree and seals, which are not copied', () => {
  const isLeaf = (event: object) => tree.isNumbered?.({ ...eventAt(1), ...event });
  for (const stream of ['consumerClient-cc_1', 'usage-2026', 'signingKeys', 'operatorActs', 'quarantines']) {
    expect(isLeaf({ stream })).toBe(true);
  }
  expect(isLeaf({ stream: 'treeHeads', type: 'TreeHeadSigned' })).toBe(false);
  const ofLog = ['LogCreated', 'LogSealed', 'LogUnsealed'].map((type) => isLeaf({ stream: 'log', type }));
  expect(ofLog).toEqual([true, false, false]);
});

test('an event of another program, and one that can’t be read, are no leaves', () => {
  const isLeaf = (event: object) => tree.isNumbered?.(event as RecordedEvent);
  expect(isLeaf({ ...eventAt(1), unreadable: new Error('no JSON') })).toBe(false);
  expect(isLeaf({ metadata: {} })).toBe(false);
  expect(isLeaf({ metadata: { hash: 'A'.repeat(64) } })).toBe(false);
});
