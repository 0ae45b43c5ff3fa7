import type { Position, RecordedEvent } from '#events';
import { LONG_AGO } from './clocks.js';
import type { EventLog } from './port.js';

/**
 * Yields the events of our streams after `after`, in the log's order. All events that any node acknowledged before this
 * call are included. Some later events may be included, too. Throws `LogUnavailable`, and the signal's reason.
 */
export async function* eventsToNow(
  log: EventLog,
  { after, signal }: { readonly after?: Position | undefined; readonly signal?: AbortSignal } = {},
): AsyncGenerator<RecordedEvent, void> {
  const calledAt = performance.now();
  const session = new AbortController();
  const stop = signal ? AbortSignal.any([signal, session.signal]) : session.signal;
  const batches = log.subscribe({ ...(after !== undefined && { after }), signal: stop, marked: true });
  // The subscription receives this marker (a signal that proves how current a subscription is) only after all events
  // that were acknowledged before the call.
  log.mark().catch((error: unknown) => {
    session.abort(error);
  });
  try {
    for await (const { events, completeTo = LONG_AGO } of batches) {
      yield* events;
      if (completeTo.monotonic >= calledAt) return;
    }
    stop.throwIfAborted();
  } finally {
    session.abort();
  }
}
