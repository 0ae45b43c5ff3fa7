import type { Position, RecordedEvent } from '#events';
import type { EventLog } from './port.js';

/**
 * Our events behind `after`, in the log's order: every one that was acknowledged before the call, on any node, and
 * perhaps some later ones, however many of other applications lie between them. Throws `LogUnavailable`, and the
 * signal's reason.
 */
export async function* eventsToNow(
  log: EventLog,
  { after, signal }: { readonly after?: Position | undefined; readonly signal?: AbortSignal } = {},
): AsyncGenerator<RecordedEvent, void> {
  const calledAt = performance.now();
  const session = new AbortController();
  const stop = signal ? AbortSignal.any([signal, session.signal]) : session.signal;
  const batches = log.subscribe({ ...(after !== undefined && { after }), signal: stop, marked: true });
  // It comes back behind all of them.
  log.mark().catch((error: unknown) => {
    session.abort(error);
  });
  try {
    for await (const { events, completeTo = -Infinity } of batches) {
      yield* events;
      if (completeTo >= calledAt) return;
    }
    stop.throwIfAborted();
  } finally {
    session.abort();
  }
}
