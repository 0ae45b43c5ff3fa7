import { type EventLog, type OutageObserver, pause, repeatUntilAborted } from '#event-log';
import type { Position } from '#events';
import { type EventFeed, isOfFeed, type NumberedEvent } from './event-feed.js';

/** Number of events that are kept for those who follow the log's end. */
const KEPT = 1_000;
/** How long a caller waits while the log is not followed, before it reads by itself, in ms. */
const UNFOLLOWED_WAIT_MS = 1_000;

/**
 * Follows the end of the log once for all who want to know of new events, while there are any. It keeps the last events,
 * so that each is read and numbered once. Nobody waits for the others: who falls behind the kept events reads the log by
 * position until the end is reached again.
 */
export class LogTail {
  private followers = 0;
  private stopping: AbortController | undefined;
  private running: Promise<void> = Promise.resolve();
  private readonly waiting = new Set<() => void>();
  /** The last events of the feed's streams, and the places between which none is missing. `undefined`: not followed. */
  private live: { events: NumberedEvent[]; after: Position | undefined; reached: Position | undefined } | undefined;

  constructor(
    private readonly log: EventLog,
    private readonly feed: Pick<EventFeed, 'end' | 'numbered'>,
    private readonly observer: OutageObserver,
  ) {}

  /** Follows the log until the signal aborts. */
  join(signal: AbortSignal): void {
    if (signal.aborted) return;
    this.followers += 1;
    if (this.followers === 1) this.start();
    signal.addEventListener(
      'abort',
      () => {
        this.followers -= 1;
        if (this.followers === 0) this.stopping?.abort();
      },
      { once: true },
    );
  }

  /** Returns the events after this place, and the place up to which they reach; `undefined` if they are not kept. */
  since(place: Position | undefined): { events: readonly NumberedEvent[]; reached: Position | undefined } | undefined {
    const { live } = this;
    if (!live || isBefore(place, live.after)) return undefined;
    const known = live.events.findLastIndex(({ recorded }) => !isBefore(place, recorded.position));
    return { events: live.events.slice(known + 1), reached: live.reached };
  }

  /** Resolves as soon as there may be events after this place, after `ms`, or when the signal aborts. */
  async grown(place: Position | undefined, ms: number, signal: AbortSignal): Promise<void> {
    const { live } = this;
    if (live && isBefore(place, live.reached)) return;
    const woken = new AbortController();
    const wake = () => {
      woken.abort();
    };
    this.waiting.add(wake);
    await pause(live ? ms : Math.min(ms, UNFOLLOWED_WAIT_MS), AbortSignal.any([woken.signal, signal]));
    this.waiting.delete(wake);
  }

  private start(): void {
    const before = this.running;
    const stopping = new AbortController();
    this.stopping = stopping;
    this.running = before.then(() =>
      repeatUntilAborted(stopping.signal, this.observer, (recovered) => this.follow(stopping.signal, recovered), {
        isOutage: (error) => error instanceof Error,
      }),
    );
  }

  private async follow(stopped: AbortSignal, recovered: () => void): Promise<void> {
    const session = new AbortController();
    const signal = AbortSignal.any([stopped, session.signal]);
    try {
      const end = await this.feed.end();
      const live = { events: [] as NumberedEvent[], after: end, reached: end };
      for await (const { events } of this.log.subscribe({ ...(end !== undefined && { after: end }), signal })) {
        recovered();
        const numbered = await this.feed.numbered(live.reached, events);
        live.events.push(...numbered.filter(({ recorded }) => isOfFeed(recorded.stream)));
        const dropped = live.events.splice(0, Math.max(0, live.events.length - KEPT)).at(-1);
        if (dropped) live.after = dropped.recorded.position;
        live.reached = events.at(-1)?.position ?? live.reached;
        this.live = live;
        this.wakeAll();
      }
    } finally {
      session.abort();
      this.live = undefined;
      this.wakeAll();
    }
  }

  private wakeAll(): void {
    for (const wake of this.waiting) wake();
  }
}

/** Whether the first place is before the second one. `undefined` is the log's start. */
const isBefore = (one: Position | undefined, other: Position | undefined): boolean =>
  other !== undefined && (one === undefined || one < other);
