import { type EventLog, eventsToNow, isLeaf } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import { leafHash, TILE_WIDTH, TreeEdge } from '#transparency';
import { TreeHeadsRefused } from './errors.js';
import type { SignedHead } from './tree-head-record.js';
import type { TreeReader } from './tree-reader.js';

/**
 * The right edge of the tree, computed from the log itself: only what it has computed is signed. It keeps the edge from
 * one head to the next, so each leaf is hashed once. A fresh one begins at the tile of the last head's last leaf, with
 * the inner hashes of the stored tiles; they are right if the leaves of the log up to that head lead to the root that was
 * signed.
 */
export class VerifiedTree {
  private edge = TreeEdge.empty();
  private position: Position | undefined;
  /** The number of lost connections to the log when the edge was computed. */
  private epoch: number | undefined;

  constructor(
    private readonly log: EventLog,
    private readonly reader: TreeReader,
  ) {}

  /**
   * Extends the tree by all events that were acknowledged before this call. Returns its size and root. Throws
   * `TreeHeadsRefused` if the log does not extend `head`, `LogUnavailable`, and what `TreeReader` throws.
   */
  async extend(head: SignedHead | undefined, signal: AbortSignal): Promise<{ size: number; root: Uint8Array }> {
    const { log } = this;
    const { connectionEpoch } = log;
    // On another connection, the log may be another one. What lies behind the head was signed by nobody.
    if (this.epoch !== connectionEpoch || this.edge.size > (head?.size ?? 0)) await this.begin(head);
    this.epoch = undefined;
    if (head?.size === this.edge.size) this.requireRoot(head);
    for await (const event of eventsToNow(log, { after: this.position, signal })) this.add(event, head);
    if (head && this.edge.size < head.size) {
      throw new TreeHeadsRefused(`The log has ${this.edge.size} leaves, and its last head has ${head.size}`);
    }
    this.epoch = connectionEpoch;
    return { size: this.edge.size, root: this.edge.root() };
  }

  private add(event: RecordedEvent, head: SignedHead | undefined): void {
    this.position = event.position;
    if (!isLeaf(event)) return;
    this.edge.append(leafHash(Buffer.from(event.metadata.hash, 'hex')));
    if (head?.size === this.edge.size) this.requireRoot(head);
  }

  private requireRoot({ size, root }: SignedHead): void {
    const found = Buffer.from(this.edge.root()).toString('base64');
    if (found === root) return;
    throw new TreeHeadsRefused(`The first ${size} leaves of the log have the root ${found}, and ${root} was signed`);
  }

  private async begin(head: SignedHead | undefined): Promise<void> {
    this.edge = TreeEdge.empty();
    this.position = undefined;
    if (!head || head.size === 0) return;
    const { reader } = this;
    await reader.waitFor(head.size);
    const tile = Math.floor((head.size - 1) / TILE_WIDTH);
    const size = tile * TILE_WIDTH;
    const levels: (readonly Uint8Array[])[] = [[]];
    for (let level = 1; TILE_WIDTH ** level <= size; level++) {
      const hashes = Math.floor(size / TILE_WIDTH ** level);
      const width = hashes % TILE_WIDTH;
      levels.push(width === 0 ? [] : await reader.tile(level, Math.floor(hashes / TILE_WIDTH), width));
    }
    this.edge = TreeEdge.restore(size, levels);
    const first = await this.log.eventAt(await reader.firstPositionOf(0, tile));
    if (!first) throw new TreeHeadsRefused(`The log lacks the event that is leaf ${size} of its tree`);
    this.add(first, head);
  }
}
