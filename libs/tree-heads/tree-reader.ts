import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type EventLog, isLeaf } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import {
  NotCaughtUp,
  type ReadModelQueries,
  type ServedReadModel,
  type TileDocument,
  tileId,
  tree,
} from '#read-models';
import { consistencyProof, inclusionProof, leafHash, type ReadTile, TILE_WIDTH, tileWidth } from '#transparency';

/** How long a read waits for tiles that the projection has not stored yet, in ms, and how often it looks. */
const WAIT_MS = 2_000;
const LOOK_EVERY_MS = 10;

/** Number of full bundles of entries that are kept, so that nobody makes the log be read for the same ones again. */
const BUNDLES_KEPT = 64;

type TileReadModel = ServedReadModel<TileDocument>;

/** Number of tiles that the proofs of one answer keep. Proofs of neighbouring leaves need the same ones. */
const TILES_KEPT = 256;

/** The leaf that an event is: its place in the log, and its chain hash. */
export interface Leaf {
  readonly position: Position;
  readonly metadata: Pick<RecordedEvent['metadata'], 'hash'>;
}

/**
 * Reads the tiles of the tree over the log. Every method takes the size of the tree that it is about, and reads only
 * hashes that this tree has. Hashes are only ever appended to a tile, so the answers are the same however far the
 * projection has gone meanwhile. Every method throws `NotReady`, `NotCaughtUp` (the projection lacks leaves of this
 * size), `RebuildNeeded`, `ReadStoreUnavailable` and `LogUnavailable`.
 */
export class TreeReader {
  /** The largest size that was found so far. */
  private reached = 0;
  /** The entries of full tiles, which never change, by the tiles' index. */
  private readonly bundles = new LRUCache<number, Promise<readonly Uint8Array[]>>({ max: BUNDLES_KEPT });

  constructor(
    private readonly queries: Pick<ReadModelQueries, 'at'>,
    private readonly log: Pick<EventLog, 'eventAt' | 'subscribe'>,
  ) {}

  /** Returns how many leaves the stored tiles hold. */
  async size(): Promise<number> {
    const last = await lastTile(await this.tiles());
    return last ? last.index * TILE_WIDTH + last.hashes.length : 0;
  }

  /** Returns the first `width` hashes of a tile. */
  async tile(level: number, index: number, width: number): Promise<readonly Uint8Array[]> {
    await this.waitFor((index * TILE_WIDTH + width) * TILE_WIDTH ** level);
    return hashesOf(await this.tiles(), { level, index, width });
  }

  /** Returns the position of the first leaf of a tile. */
  async firstPositionOf(level: number, index: number): Promise<Position> {
    return (await storedTile(await this.tiles(), level, index)).firstPosition;
  }

  /**
   * Returns the entries of the first `width` leaves of a tile of level 0: the chain hashes of their events, from the log.
   * Throws also if the log's events are not the leaves of the stored tile.
   */
  entries(index: number, width: number): Promise<readonly Uint8Array[]> {
    if (width < TILE_WIDTH) return this.readEntries(index, width);
    const kept = this.bundles.get(index);
    if (kept) return kept;
    const reading = this.readEntries(index, width);
    this.bundles.set(index, reading);
    reading.catch(() => this.bundles.delete(index));
    return reading;
  }

  private async readEntries(index: number, width: number): Promise<readonly Uint8Array[]> {
    const hashes = await this.tile(0, index, width);
    const first = await this.firstPositionOf(0, index);
    const entries: Uint8Array[] = [];
    for await (const event of eventsFrom(this.log, first)) {
      if (isLeaf(event)) entries.push(Buffer.from(event.metadata.hash, 'hex'));
      if (entries.length === width) break;
    }
    const differs = entries.findIndex((entry, at) => !isEqual(leafHash(entry), hashes[at]));
    if (differs >= 0)
      throw new Error(`Leaf ${index * TILE_WIDTH + differs} is another event in the log than in the tree`);
    return entries;
  }

  /** Returns the index of the leaf that an event is; `undefined` if the stored tiles do not have it. */
  async leafIndexOf({ position, metadata }: Leaf): Promise<number | undefined> {
    const tile = await lastTile(await this.tiles(), position);
    const hash = Buffer.from(leafHash(Buffer.from(metadata.hash, 'hex'))).toString('base64');
    const place = tile?.hashes.indexOf(hash) ?? -1;
    return tile && place >= 0 ? tile.index * TILE_WIDTH + place : undefined;
  }

  /**
   * Returns the last stored tile of level 0 whose first leaf is at this position or before it: the number of leaves
   * before that tile, and where the tile begins. `undefined` if no tile is stored that begins there.
   */
  async tileBefore(position: Position): Promise<{ leavesBefore: number; firstPosition: Position } | undefined> {
    const doc = await lastTile(await this.tiles(), position);
    return doc && { leavesBefore: doc.index * TILE_WIDTH, firstPosition: doc.firstPosition };
  }

  /**
   * Returns the proof that leaf `index` is in the tree of the first `size` leaves, the leaf's sibling first. Throws also
   * `NoSuchProof`.
   */
  async inclusionProof(index: number, size: number): Promise<readonly Uint8Array[]> {
    return (await this.at(size)).inclusionProof(index);
  }

  /**
   * Returns the proof that the tree of the first `size` leaves extends the tree of the first `oldSize`. Throws also
   * `NoSuchProof`.
   */
  async consistencyProof(oldSize: number, size: number): Promise<readonly Uint8Array[]> {
    return (await this.at(size)).consistencyProof(oldSize);
  }

  /** Returns the tree of the first `size` leaves, for several proofs: it reads each tile once, if they are not too many. */
  async at(size: number): Promise<TreeAtSize> {
    await this.waitFor(size);
    return new TreeAtSize(await this.tiles(), size);
  }

  /** Waits until the stored tiles hold this many leaves. */
  async waitFor(size: number): Promise<void> {
    const giveUpAt = performance.now() + WAIT_MS;
    while (this.reached < size) {
      this.reached = Math.max(this.reached, await this.size());
      if (this.reached >= size) return;
      if (performance.now() >= giveUpAt) throw new NotCaughtUp(tree.name);
      await delay(LOOK_EVERY_MS);
    }
  }

  private tiles(): Promise<TileReadModel> {
    return this.queries.at(tree);
  }
}

/** The tree of the first `size` leaves. Its methods throw as those of `TreeReader`. */
export class TreeAtSize {
  private readonly kept = new LRUCache<string, Promise<readonly Uint8Array[]>>({ max: TILES_KEPT });

  constructor(
    private readonly model: TileReadModel,
    readonly size: number,
  ) {}

  /** See `TreeReader.inclusionProof`. */
  inclusionProof(index: number): Promise<readonly Uint8Array[]> {
    return inclusionProof(index, this.size, this.readTile);
  }

  /** See `TreeReader.consistencyProof`. */
  consistencyProof(oldSize: number): Promise<readonly Uint8Array[]> {
    return consistencyProof(oldSize, this.size, this.readTile);
  }

  private readonly readTile: ReadTile = (level, index) => {
    const id = tileId(level, index);
    const kept = this.kept.get(id);
    if (kept) return kept;
    const reading = hashesOf(this.model, { level, index, width: tileWidth(level, index, this.size) });
    this.kept.set(id, reading);
    return reading;
  };
}

/** Returns the last tile of level 0, or the last one whose first leaf is at this position or before it. */
async function lastTile(model: TileReadModel, position?: Position): Promise<TileDocument | undefined> {
  const { items } = await model.page({
    ...{ equals: { level: 0 }, sort: { field: 'firstPosition', direction: 'desc' }, limit: 1 },
    // Every id of a tile sorts before this one, so the tile that begins at `position` is included.
    ...(position !== undefined && { startAfter: { value: position, id: '~' } }),
  });
  return items[0]?.doc;
}

async function storedTile(model: TileReadModel, level: number, index: number): Promise<TileDocument> {
  const found = await model.get(tileId(level, index));
  if (!found) throw new NotCaughtUp(tree.name);
  return found.doc;
}

async function hashesOf(
  model: TileReadModel,
  { level, index, width }: { readonly level: number; readonly index: number; readonly width: number },
): Promise<readonly Uint8Array[]> {
  const { hashes } = await storedTile(model, level, index);
  // A store that was restored to an older state.
  if (hashes.length < width) throw new NotCaughtUp(tree.name);
  return hashes.slice(0, width).map((hash) => Buffer.from(hash, 'base64'));
}

const isEqual = (one: Uint8Array, other: Uint8Array | undefined): boolean =>
  other !== undefined && Buffer.compare(one, other) === 0;

/** Yields the events from `position` on, that one included, and never ends by itself. */
async function* eventsFrom(
  log: Pick<EventLog, 'eventAt' | 'subscribe'>,
  position: Position,
): AsyncGenerator<RecordedEvent, void> {
  const first = await log.eventAt(position);
  if (first) yield first;
  const session = new AbortController();
  try {
    for await (const { events } of log.subscribe({ after: position, signal: session.signal, batchSize: TILE_WIDTH })) {
      yield* events;
    }
  } finally {
    session.abort();
  }
}
