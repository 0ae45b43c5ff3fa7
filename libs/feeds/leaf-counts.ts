import { LRUCache } from 'lru-cache';
import { type EventLog, isLeaf } from '#event-log';
import type { Position } from '#events';
import { NotCaughtUp, tree } from '#read-models';
import type { TreeReader } from '#tree-heads';

/** Number of positions whose counts are remembered. */
const REMEMBERED = 10_000;
/** Number of events that are read at once. */
const PIECE = 100;
/** Number of events that are counted behind the last stored tile. */
const MAX_COUNTED = 5_000;

/**
 * Tells how many leaves the tree over the log has up to a position, that one included: the leaf index of the next leaf.
 * The stored tiles tell it for the place where a tile begins, and the events from there on are counted, so the answer
 * does not wait for the last events to be in the tiles.
 */
export class LeafCounts {
  private readonly counts = new LRUCache<Position, number>({ max: REMEMBERED });
  private connectionEpoch: number;

  constructor(
    private readonly log: Pick<EventLog, 'readAll' | 'connectionEpoch'>,
    private readonly tree: Pick<TreeReader, 'tileBefore'>,
  ) {
    this.connectionEpoch = log.connectionEpoch;
  }

  /**
   * `undefined`: the log's start. Throws `NotCaughtUp` if the tiles are thousands of events behind, and as `TreeReader`
   * does.
   */
  async upTo(position: Position | undefined): Promise<number> {
    if (position === undefined) return 0;
    const known = this.known().get(position);
    if (known !== undefined) return known;
    const tile = await this.tree.tileBefore(position);
    let count = tile ? tile.leavesBefore + 1 : 0;
    let place = tile?.firstPosition;
    for (let counted = 0; place === undefined || place < position; counted += PIECE) {
      if (counted >= MAX_COUNTED) throw new NotCaughtUp(tree.name);
      const events = await this.log.readAll({ ...(place !== undefined && { after: place }), limit: PIECE });
      for (const event of events) if (event.position <= position && isLeaf(event)) count += 1;
      place = events.at(-1)?.position ?? place;
      if (events.length < PIECE) break;
    }
    this.remember(position, count);
    return count;
  }

  /** Remembers what the caller has counted itself, from a count of this class on. */
  remember(position: Position, count: number): void {
    this.known().set(position, count);
  }

  /** After a lost connection, the log may be another one, restored to an older state. */
  private known(): LRUCache<Position, number> {
    if (this.connectionEpoch !== this.log.connectionEpoch) {
      this.connectionEpoch = this.log.connectionEpoch;
      this.counts.clear();
    }
    return this.counts;
  }
}
