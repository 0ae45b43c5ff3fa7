import { LogIsSealed, isSealedBy } from '#event-log';
import type { RecordedEvent } from '#events';
import type { Deadline } from './deadline.js';

/** No process believes a look at the seal for longer, in milliseconds, however long it believes its fence. */
export const MAX_SEAL_AGE_MS = 4_000;

interface Look {
  /** Of the monotonic clock, before the read was sent. */
  readonly beganAt: number;
  readonly isSealed: boolean;
}

/**
 * What every append asks before it is sent: whether stream `log` ends with a seal. One strong read of that end, shared
 * by all, serves as long as a fence does.
 *
 * So a seal is in force a while after its acknowledgement at S. An append that passed this check at C was accepted
 * before C, by a look that began before S: a strong read that begins later sees the seal. Either that look was no older
 * than M, so C < S + M, or it began after the append had been accepted, which was therefore before S. Both ways the
 * append is acknowledged before S + M + D, where D is an append's deadline, or not at all. From then on a strong read of
 * the log finds everything that was ever acknowledged before it; what may still be written behind it was given up by its
 * caller, who has to send it again, and is refused.
 */
export class SealCheck {
  private latest: Look | undefined;
  private looking: Promise<void> | undefined;
  private readonly maxAgeMs: number;

  constructor(
    /** A strong read. */
    private readonly readEnd: () => Promise<readonly RecordedEvent[]>,
    fenceMaxAgeMs: number,
  ) {
    this.maxAgeMs = Math.min(fenceMaxAgeMs, MAX_SEAL_AGE_MS);
  }

  /** Throws `LogIsSealed`, `LogUnavailable`, and what the driver throws. */
  async requireUnsealed(deadline: Deadline): Promise<void> {
    const arrivedAt = performance.now();
    while (!this.latest || !this.counts(this.latest, arrivedAt)) {
      this.looking ??= this.look().finally(() => (this.looking = undefined));
      await deadline.race(this.looking);
    }
    if (this.latest.isSealed) throw new LogIsSealed();
  }

  private counts({ beganAt }: Look, arrivedAt: number): boolean {
    return beganAt >= arrivedAt || performance.now() - beganAt < this.maxAgeMs;
  }

  private async look(): Promise<void> {
    const beganAt = performance.now();
    const [last] = await this.readEnd();
    this.latest = { beganAt, isSealed: isSealedBy(last?.type) };
  }
}
