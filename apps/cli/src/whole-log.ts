import { type EventLog, eventsToNow } from '#event-log';
import { type UpcastEvent, upcast } from '#events';

/** Every event that was acknowledged before the call. Throws `LogUnavailable`, `UnknownEvent`. */
export async function* wholeLog(log: EventLog): AsyncGenerator<UpcastEvent> {
  for await (const event of eventsToNow(log)) yield upcast(event);
}
