import { type EventLog, MAX_APPEND_BYTES, eventsToNow, isSealMarker } from '#event-log';
import type { Position, RecordedEvent } from '#events';

/** Events of one append at most. */
const MAX_RUN = 100;

/**
 * What belongs to the book of record, in the whole log's order, all that was acknowledged before the call: seals stay
 * where they are. Throws `LogUnavailable`, the signal's reason.
 */
export async function* bookEvents(
  log: EventLog,
  signal: AbortSignal,
  after?: Position,
): AsyncGenerator<RecordedEvent, void> {
  for await (const event of eventsToNow(log, { after, signal })) if (!isSealMarker(event)) yield event;
}

/** Events that follow each other both in the log and in their stream, as many as one append takes. */
export async function* runsOf(
  events: AsyncIterable<RecordedEvent>,
): AsyncGenerator<[RecordedEvent, ...RecordedEvent[]]> {
  let run: [RecordedEvent, ...RecordedEvent[]] | undefined;
  let bytes = 0;
  for await (const event of events) {
    const size = sizeOf(event);
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

const sizeOf = ({ data, metadata }: RecordedEvent): number =>
  Buffer.byteLength(JSON.stringify(data)) + Buffer.byteLength(JSON.stringify(metadata));
