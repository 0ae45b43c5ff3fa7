import type { EventLog } from '#event-log';
import { type UpcastEvent, upcast } from '#events';

const PAGE = 1000;

/** Every event to the log's end, by strong reads, a page at a time. Throws `LogUnavailable`, `UnknownEvent`. */
export async function* wholeLog(log: EventLog): AsyncGenerator<UpcastEvent> {
  let after: string | undefined;
  for (;;) {
    const events = await log.readAll({ ...(after !== undefined && { after }), limit: PAGE, consistency: 'strong' });
    yield* events.map(upcast);
    after = events.at(-1)?.position;
    if (after === undefined) return;
  }
}
