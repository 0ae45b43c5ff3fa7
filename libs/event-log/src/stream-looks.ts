import type { CallOptions } from './call-options.js';
import { LONG_AGO, type Moment, momentNow, msSince } from './clocks.js';
import type { EventLog } from './port.js';

/** For this many milliseconds after a failure, answers that must not wait for the log do not ask it again. */
const RETRY_AFTER_MS = 1_000;

/** The longest time, in ms, for which a process relies on its last look. */
const MAX_LOOK_AGE_MS = 2_000;

/**
 * When this many milliseconds have passed since an append to the stream was acknowledged, no process begins anything
 * any more without knowing the event.
 */
export const LOOKS_HOLD_AFTER_MS = MAX_LOOK_AGE_MS;

/** What a look has found. */
export interface Look<Found> {
  /** The moment before the read was sent. */
  readonly beganAt: Moment;
  readonly connectionEpoch: number;
  readonly found: Found;
  /** Whether the stream had no event. */
  readonly isMissing: boolean;
}

/**
 * Knows what one stream says, without a read for each question. A look is a strong read of the stream (a read that
 * returns every event acknowledged before). A look counts for 2 s. Whoever appends to the stream waits that long after
 * the append, so every look that counts after this wait began after the append, and has found the event. While a log is
 * in use, a new look begins before the old one is too old, so that nobody waits for it.
 */
export abstract class StreamLooks<Found> {
  private latest: Look<Found>;
  /** Looks that began before this moment do not count. */
  private expiredAt = LONG_AGO;
  /** When an answer last waited for the log in vain. */
  private failedAt = LONG_AGO;
  private refreshing: Promise<unknown> | undefined;

  constructor(
    protected readonly log: Pick<EventLog, 'readStream' | 'connectionEpoch'>,
    /** What an empty stream says. */
    nothing: Found,
  ) {
    this.latest = { beganAt: LONG_AGO, connectionEpoch: -1, found: nothing, isMissing: true };
  }

  /** Returns what the stream says. Throws `LogUnavailable`, `HistoryMissing`. */
  async inForce(options?: CallOptions): Promise<Found> {
    const { found, beganAt, connectionEpoch } = this.latest;
    const ageMs = connectionEpoch === this.log.connectionEpoch ? msSince(beganAt) : Infinity;
    if (ageMs >= MAX_LOOK_AGE_MS) return this.look(options);
    if (ageMs >= MAX_LOOK_AGE_MS / 2) {
      // If this look fails, the next one that somebody waits for fails, too.
      this.refreshing ??= this.look()
        .catch(() => undefined)
        .finally(() => (this.refreshing = undefined));
    }
    return found;
  }

  /** What the last look has found. */
  get lastKnown(): Found {
    return this.latest.found;
  }

  /**
   * Returns what the stream says; what is known if the log does not answer within half a second, and at once during the
   * second after that. For answers that must not wait for the log.
   */
  async inForceOrLastKnown(): Promise<Found> {
    if (msSince(this.failedAt) < RETRY_AFTER_MS) return this.lastKnown;
    try {
      return await this.inForce({ deadlineMs: 500 });
    } catch {
      this.failedAt = momentNow();
      return this.lastKnown;
    }
  }

  /** Forgets the last look, because the stream has a new event. */
  expire(): void {
    this.latest = { ...this.latest, beganAt: LONG_AGO };
    this.expiredAt = momentNow();
  }

  /** Reads the stream by strong reads. `before` is an earlier look, which may be of another connection epoch. */
  protected abstract read(
    before: Look<Found>,
    options?: CallOptions,
  ): Promise<Pick<Look<Found>, 'found' | 'isMissing'>>;

  private async look(options?: CallOptions): Promise<Found> {
    const beganAt = momentNow();
    const { connectionEpoch } = this.log;
    const { found, isMissing } = await this.read(this.latest, options);
    const isNewest = beganAt.monotonic >= Math.max(this.latest.beganAt.monotonic, this.expiredAt.monotonic);
    if (isNewest) this.latest = { beganAt, connectionEpoch, found, isMissing };
    return found;
  }
}
