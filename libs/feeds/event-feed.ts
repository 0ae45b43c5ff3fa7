import type { WorkspaceId } from '#domain';
import { type EventLog, isLeaf, isStreamOf, readQuarantines, type StreamPrefix, TREE_HEADS_STREAM } from '#event-log';
import { type Position, type RecordedEvent, redact } from '#events';
import type { LeafCounts } from './leaf-counts.js';

/** Number of events that are read at once. */
const PIECE = 100;
/** Number of events that one page looks at, whether they are in the feed or not. */
const MAX_LOOKED_AT = 2_000;

/** The streams whose events each workspace sees, as far as they are its own: those that its history shows. */
const STREAMS: readonly StreamPrefix[] = ['consumerClient-', 'subscription-'];

/** An event of the log with its number in the tree, from 0. What is no leaf has none. */
export interface NumberedEvent {
  readonly recorded: RecordedEvent;
  readonly leafIndex?: number;
}

/** An event as it leaves the log: with each sensitive field replaced by its hash. */
export interface FeedEvent {
  readonly event: RecordedEvent;
  readonly leafIndex?: number;
}

export interface FeedQuestion {
  readonly workspaceId: WorkspaceId;
  /** The page begins after this position, which MUST be a place in the log. The default is the log's start. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

export interface FeedPage {
  readonly events: readonly FeedEvent[];
  /** The position after which the next page begins; `undefined` if the log has no event. */
  readonly next: Position | undefined;
  /** Whether the log had nothing more when the page was read. */
  readonly isAtEnd: boolean;
}

/**
 * The feed of a workspace: the events of its clients and subscriptions, and the signed heads of the tree, in the order
 * of the log. It is read from the log itself, by position. Positions are given in the order in which events become
 * visible, on both stores, so no event ever appears before one that was read.
 */
export class EventFeed {
  constructor(
    private readonly log: EventLog,
    private readonly leaves: LeafCounts,
  ) {}

  /** Whether an event of ours is at this position. A feed can go on only from there. Throws `LogUnavailable`. */
  async isPlace(position: Position): Promise<boolean> {
    return (await this.log.eventAt(position)) !== undefined;
  }

  /** Returns the position of the last event of ours. Throws `LogUnavailable`. */
  async end(): Promise<Position | undefined> {
    const [last] = await this.log.readAll({ direction: 'backwards', limit: 1, consistency: 'strong' });
    return last?.position;
  }

  /**
   * Returns a page. It looks at 2,000 events of the log at most, so it may have few events, or none, although more
   * follow. It ends before an event that can't be shown, unless the event's stream is quarantined. Throws the error of
   * such an event if it would be the first one, `LogUnavailable`, and what `LeafCounts` throws.
   */
  async page({ workspaceId, after, limit }: FeedQuestion): Promise<FeedPage> {
    const events: FeedEvent[] = [];
    let place = after;
    for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; lookedAt += PIECE) {
      const read = { ...(place !== undefined && { after: place }), limit: PIECE, consistency: 'strong' } as const;
      const recorded = await this.log.readAll(read);
      const piece = await this.numbered(place, recorded);
      const { shown, error, reached = place } = await this.select(piece, workspaceId, limit - events.length);
      events.push(...shown);
      place = reached;
      if (error && events.length === 0) throw error;
      if (error || events.length === limit) return { events, next: place, isAtEnd: false };
      if (recorded.length < PIECE) return { events, next: place, isAtEnd: true };
    }
    return { events, next: place, isAtEnd: false };
  }

  /** Numbers the events that follow each other after `after`. Throws what `LeafCounts` throws. */
  async numbered(after: Position | undefined, recorded: readonly RecordedEvent[]): Promise<NumberedEvent[]> {
    const last = recorded.at(-1);
    if (!last) return [];
    let count = await this.leaves.upTo(after);
    const events = recorded.map((event) => {
      if (!isLeaf(event)) return { recorded: event };
      count += 1;
      return { recorded: event, leafIndex: count - 1 };
    });
    this.leaves.remember(last.position, count);
    return events;
  }

  /**
   * Returns the first `limit` events that the workspace sees, and the position of the last event that was looked at.
   * `error`: why the next event can't be shown.
   */
  async select(
    events: readonly NumberedEvent[],
    workspaceId: WorkspaceId,
    limit: number,
  ): Promise<{ shown: FeedEvent[]; error?: Error; reached?: Position }> {
    const shown: FeedEvent[] = [];
    let reached: Position | undefined;
    for (const { recorded, leafIndex } of events) {
      try {
        if (isVisible(recorded, workspaceId)) {
          shown.push({ event: redactedOf(recorded), ...(leafIndex !== undefined && { leafIndex }) });
        }
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        if (!(await readQuarantines(this.log)).has(recorded.stream)) {
          return { shown, error, ...(reached !== undefined && { reached }) };
        }
      }
      reached = recorded.position;
      if (shown.length === limit) break;
    }
    return { shown, ...(reached !== undefined && { reached }) };
  }
}

/** Whether events of the stream are in the feed of any workspace. */
export const isOfFeed = (stream: string): boolean => stream === TREE_HEADS_STREAM || isStreamOf(STREAMS, stream);

/** Whether the workspace sees the event. Throws the error of an unreadable event, which may be anybody's. */
function isVisible({ stream, metadata, unreadable }: RecordedEvent, workspaceId: WorkspaceId): boolean {
  if (!isOfFeed(stream)) return false;
  if (unreadable) throw unreadable;
  return stream === TREE_HEADS_STREAM || metadata.workspaceId === workspaceId;
}

/** Throws `UnknownEvent`. */
function redactedOf(recorded: RecordedEvent): RecordedEvent {
  const { data, metadata } = redact(recorded);
  return { ...recorded, data, metadata };
}
