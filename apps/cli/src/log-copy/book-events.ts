import {
  type EventLog,
  eventsToNow,
  isSealMarker,
  MAX_APPEND_BYTES,
  type QuarantinesInForce,
  sizeOf,
} from '#event-log';
import type { Position, RecordedEvent } from '#events';

/** Maximum number of events in one append. */
const MAX_RUN = 100;

export interface BookSelection {
  readonly signal: AbortSignal;
  /** The quarantined streams of the book of record. */
  readonly quarantines: QuarantinesInForce;
  /** The default is the log's start. */
  readonly after?: Position | undefined;
}

/**
 * Yields the events of the book of record in the whole log's order. Includes every event that was acknowledged before
 * the call, and possibly later events. Leaves out seals (the closing events of a log that is being moved), because a
 * seal belongs to one store, and quarantined streams. Throws `LogUnavailable`, and the error of an event that can't be
 * read. If the signal aborts, throws the signal's reason.
 */
export async function* bookEvents(
  log: EventLog,
  { signal, quarantines, after }: BookSelection,
): AsyncGenerator<RecordedEvent, void> {
  for await (const event of eventsToNow(log, { after, signal })) {
    if (isSealMarker(event) || quarantines.has(event.stream)) continue;
    if (event.unreadable) throw event.unreadable;
    yield event;
  }
}

/** Groups neighbouring events of the same stream. A group holds at most as many events as one append may contain. */
export async function* runsOf(
  events: AsyncIterable<RecordedEvent>,
): AsyncGenerator<[RecordedEvent, ...RecordedEvent[]]> {
  let run: [RecordedEvent, ...RecordedEvent[]] | undefined;
  let bytes = 0;
  for await (const event of events) {
    const { type, data, metadata } = event;
    const size = sizeOf({ type, data: JSON.stringify(data), metadata: JSON.stringify(metadata) });
    if (run?.[0].stream === event.stream && run.length < MAX_RUN && bytes + size <= MAX_APPEND_BYTES) {
      run.push(event);
      bytes += size;
    } else {
      if (run) yield run;
      run = [event];
      bytes = size;
    }
  }
  if (run) yield run;
}
