import type { Instant } from '#domain';

/** The latest time that an event of the log carries, as far as this process knows. */
export class LatestEventTime {
  private latest: Instant | undefined;

  note(time: Instant | undefined): void {
    if (time !== undefined && (this.latest === undefined || this.latest < time)) this.latest = time;
  }

  /** Returns how far this process's clock is behind that time, in ms. Returns 0 if the clock is not behind. */
  clockBehindMs(): number {
    return this.latest === undefined ? 0 : Math.max(0, Date.parse(this.latest) - Date.now());
  }
}
