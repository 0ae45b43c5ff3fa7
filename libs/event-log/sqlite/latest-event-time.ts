import type { EventTime } from './writer-protocol.js';

/**
 * Number of events at the end of the log that are compared with this process's clock. Were it more, one event from a
 * clock that was far ahead would hide for long whether the clock is right now.
 */
export const COMPARED_EVENTS = 100n;

/** The latest time that an event carries, of the last events of the log as far as this process knows them. */
export class LatestEventTime {
  /** Every event that has a later time than all events after it, in the order of the log. */
  private latest: EventTime[] = [];

  /** Takes note of an event's time. Events MUST be noted in the order of the log. */
  note(event: EventTime): void {
    const oldest = event.position - COMPARED_EVENTS;
    this.latest = this.latest.filter(({ position, time }) => position > oldest && time > event.time);
    this.latest.push(event);
  }

  /** Returns how far this process's clock is behind that time, in ms. Returns 0 if the clock is not behind. */
  clockBehindMs(): number {
    const [latest] = this.latest;
    return latest === undefined ? 0 : Math.max(0, latest.time - Date.now());
  }
}
