import { isSealedBy, LogIsSealed, type Moment, momentNow, msSince } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Deadline } from './deadline.js';

/**
 * The longest time, in milliseconds, for which a process relies on its last look: the read that tells whether the log
 * is sealed. This limit applies even if `fenceMaxAgeMs` is larger.
 */
export const MAX_SEAL_AGE_MS = 4_000;
/** The part of a look's longest age after which `prepare` begins another look. */
const PREPARED_AT = 0.75;

interface Look {
  /** The moment before the read was sent. */
  readonly beganAt: Moment;
  readonly isSealed: boolean;
}

/**
 * Refuses appends while the log is sealed. A seal is the event that closes a log that is being moved to another store.
 * Before an append is sent, this class checks whether the last event of stream `log` is a seal.
 *
 * 1. A look is one strong read of the end of stream `log` (a read that returns every event acknowledged before). All
 *    callers share the look. A look counts for every caller who arrived before the look began. For other callers, the
 *    look counts for M milliseconds after the look began. M is `fenceMaxAgeMs`, but at most `MAX_SEAL_AGE_MS`.
 * 2. Let S be the moment when a seal was acknowledged. Let C be the moment when an append passed this check. The look
 *    that let the append pass began before S, since a look that begins after S finds the seal.
 * 3. If the look was younger than M at C, then C < S + M. If the look was older, the look began after the append's
 *    caller arrived, so the caller arrived before S.
 * 4. Let D be the longest deadline of an append. In both cases, either the append is acknowledged before S + M + D, or
 *    the append is never acknowledged. This also holds if the process is suspended between the check and the append,
 *    because the deadline is compared with both clocks after the server's acknowledgement.
 * 5. So a strong read that begins at S + M + D or later finds every event that was ever acknowledged. If an append is
 *    written after that, its caller has already given up. The caller has to send the append again, and the new attempt
 *    is refused.
 */
export class SealCheck {
  private latest: Look | undefined;
  private looking: Promise<void> | undefined;
  private readonly maxAgeMs: number;

  constructor(
    /** Reads the last event of stream `log` by a strong read. */
    private readonly readEnd: () => Promise<readonly RecordedEvent[]>,
    fenceMaxAgeMs: number,
  ) {
    this.maxAgeMs = Math.min(fenceMaxAgeMs, MAX_SEAL_AGE_MS);
  }

  /** Resolves if the log is not sealed. Throws `LogIsSealed`, `LogUnavailable`, and the errors of the driver. */
  async requireUnsealed(deadline: Deadline): Promise<void> {
    const arrivedAt = performance.now();
    while (!this.latest || !this.counts(this.latest, arrivedAt)) {
      await deadline.race(this.lookShared());
    }
    if (this.latest.isSealed) throw new LogIsSealed();
  }

  /**
   * Begins a look if an append would soon have to wait for one. Every strong read calls this, because an append may
   * follow the read. So the look and the read take one round trip together. Nothing waits for the look.
   */
  prepare(): void {
    if (this.latest && msSince(this.latest.beganAt) < PREPARED_AT * this.maxAgeMs) return;
    if (this.maxAgeMs > 0) this.lookShared().catch(() => undefined);
  }

  private counts({ beganAt }: Look, arrivedAt: number): boolean {
    return beganAt.monotonic >= arrivedAt || msSince(beganAt) < this.maxAgeMs;
  }

  private lookShared(): Promise<void> {
    return (this.looking ??= this.look().finally(() => (this.looking = undefined)));
  }

  private async look(): Promise<void> {
    const beganAt = momentNow();
    const [last] = await this.readEnd();
    this.latest = { beganAt, isSealed: isSealedBy(last?.type) };
  }
}
