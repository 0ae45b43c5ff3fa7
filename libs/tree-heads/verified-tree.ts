import { type EventLog, eventsToNow, isLeaf } from '#event-log';
import type { Position, RecordedEvent } from '#events';
import { leafHash, TILE_WIDTH, TreeEdge } from '#transparency';
import { TreeHeadsRefused } from './errors.js';
import type { SignedHead } from './tree-head-record.js';
import type { TreeReader } from './tree-reader.js';

/** The right edge of the tree, and the position of the last event that was read for it. */
interface Extent {
  readonly edge: TreeEdge;
  readonly position: Position | undefined;
}

/**
 * The right edge of the tree, computed from the log itself: only what it has computed is signed. It keeps the edge from
 * one head to the next, so each leaf is hashed once. A fresh one begins at the tile of the last head's last leaf, with
 * the inner hashes of the stored tiles; they are right if the leaves of the log up to that head lead to the root that was
 * signed.
 */
export class VerifiedTree {
  /** The tree as of a signed head, or the empty one. */
  private base: Extent = { edge: TreeEdge.empty(), position: undefined };
  /** The tree as it was extended last. */
  private extended = this.base;
  /** The number of lost connections to the log when the base was computed. */
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
    // On another connection, the log may be another one.
    if (this.epoch !== connectionEpoch || this.base.edge.size > (head?.size ?? 0)) {
      this.base = await this.beginning(head);
      this.epoch = connectionEpoch;
    }
    const edge = TreeEdge.restore(this.base.edge.size, this.base.edge.partialTiles);
    let { position } = this.base;
    if (head?.size === edge.size) requireRoot(edge, head);
    for await (const event of eventsToNow(log, { after: position, signal })) {
      position = event.position;
      add(edge, event, head);
    }
    if (head && edge.size < head.size) {
      throw new TreeHeadsRefused(`The log has ${edge.size} leaves, and its last head has ${head.size}`);
    }
    this.extended = { edge, position };
    return { size: edge.size, root: edge.root() };
  }

  /** Called when the head of the last `extend` is in the log: the next one goes on from there. */
  confirm(): void {
    this.base = this.extended;
  }

  /** Returns the tree up to the first leaf of the tile that holds the head's last leaf. */
  private async beginning(head: SignedHead | undefined): Promise<Extent> {
    if (!head || head.size === 0) return { edge: TreeEdge.empty(), position: undefined };
    const { reader } = this;
    await reader.waitFor(head.size);
    const tile = Math.floor((head.size - 1) / TILE_WIDTH);
    const size = tile * TILE_WIDTH;
    const levels: (readonly Uint8Array[])[] = size > 0 ? [[]] : [];
    for (let level = 1; TILE_WIDTH ** level <= size; level++) {
      const hashes = Math.floor(size / TILE_WIDTH ** level);
      const width = hashes % TILE_WIDTH;
      levels.push(width === 0 ? [] : await reader.tile(level, Math.floor(hashes / TILE_WIDTH), width));
    }
    const edge = TreeEdge.restore(size, levels);
    const first = await this.log.eventAt(await reader.firstPositionOf(0, tile));
    if (!first) throw new TreeHeadsRefused(`The log lacks the event that is leaf ${size} of its tree`);
    add(edge, first, head);
    return { edge, position: first.position };
  }
}

function add(edge: TreeEdge, event: RecordedEvent, head: SignedHead | undefined): void {
  if (!isLeaf(event)) return;
  edge.append(leafHash(Buffer.from(event.metadata.hash, 'hex')));
  if (head?.size === edge.size) requireRoot(edge, head);
}

function requireRoot(edge: TreeEdge, { size, root }: SignedHead): void {
  const found = Buffer.from(edge.root()).toString('base64');
  if (found === root) return;
  throw new TreeHeadsRefused(`The first ${size} leaves of the log have the root ${found}, and ${root} was signed`);
}
