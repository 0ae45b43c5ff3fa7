import type { WorkspaceId } from '#domain';
import type { EventLog, OutageObserver } from '#event-log';
import type { Position } from '#events';
import { EventFeed, type FeedPage } from './event-feed.js';
import type { LeafCounts } from './leaf-counts.js';
import { LogTail } from './log-tail.js';

/** Number of events of a page. */
const PAGE = 100;

export interface FollowedFeedQuestion {
  readonly workspaceId: WorkspaceId;
  readonly after: Position | undefined;
  /** After how many ms without a page an empty one comes. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

/** The feed of a workspace as it grows. */
export class FollowedFeed extends EventFeed {
  private readonly tail: LogTail;

  /** `observer` is told while the end of the log can't be followed. */
  constructor(log: EventLog, leaves: LeafCounts, observer: OutageObserver) {
    super(log, leaves);
    this.tail = new LogTail(log, this, observer);
  }

  /**
   * Yields the pages after a place, and ends when the signal aborts. The next page is made when it is asked for: whoever
   * is slow gets older pages, and costs nobody anything. Throws as `page`.
   */
  async *follow({ workspaceId, after, idleMs, signal: wanted }: FollowedFeedQuestion): AsyncGenerator<FeedPage, void> {
    const session = new AbortController();
    const signal = AbortSignal.any([wanted, session.signal]);
    this.tail.join(signal);
    try {
      let place = after;
      let quietSince = performance.now();
      while (!signal.aborted) {
        const page = await this.nextPage(workspaceId, place);
        place = page.next;
        if (page.events.length > 0 || performance.now() - quietSince >= idleMs) {
          yield page;
          quietSince = performance.now();
        }
        if (page.isAtEnd) await this.tail.grown(place, quietSince + idleMs - performance.now(), signal);
      }
    } finally {
      session.abort();
    }
  }

  private async nextPage(workspaceId: WorkspaceId, place: Position | undefined): Promise<FeedPage> {
    const kept = this.tail.since(place);
    if (!kept) return this.page({ workspaceId, after: place, limit: PAGE });
    const { shown, error, reached } = await this.select(kept.events, workspaceId, PAGE);
    if (error && shown.length === 0) throw error;
    const isAtEnd = !error && shown.length < PAGE;
    return { events: shown, next: isAtEnd ? (kept.reached ?? place) : (reached ?? place), isAtEnd };
  }
}
