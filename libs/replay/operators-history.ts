import { type Basis, type EventLog, isWithin, OUR_STREAMS, placeOf } from '#event-log';
import { type Position, type RecordedEvent, redact, type Revision } from '#events';

/** The streams that belong to no workspace, but to the installation: keys, operators' acts, and the log itself. */
export const isInstallationStream = (stream: string): boolean => (OUR_STREAMS as readonly string[]).includes(stream);

/**
 * Returns a page of the events of one of the installation's streams, in the form in which they were hashed. `next` is
 * the position of the page's last event if more events follow. Throws `LogUnavailable`, `HistoryMissing`.
 */
export async function findInstallationEvents(
  log: EventLog,
  { stream, after, limit }: { readonly stream: string; readonly after?: Position | undefined; readonly limit: number },
): Promise<{ readonly events: readonly RecordedEvent[]; readonly next?: Position }> {
  const from = after === undefined ? 0n : await revisionAfter(log, stream, { by: 'position', position: after });
  const found = await log.readStream(stream, { from, limit: limit + 1, consistency: 'strong' });
  const events = found.slice(0, limit).map(redact);
  const last = events.at(-1);
  return found.length > limit && last ? { events, next: last.position } : { events };
}

/** Returns the revision of the first event that is not within the basis, by reads of single events. */
async function revisionAfter(log: EventLog, stream: string, basis: Basis): Promise<Revision> {
  const [end] = await log.readStream(stream, { direction: 'backwards', limit: 1, consistency: 'strong' });
  if (!end) return 0n;
  let [low, high] = [0n, end.revision + 1n];
  while (low < high) {
    const middle = (low + high) / 2n;
    const [event] = await log.readStream(stream, { from: middle, limit: 1, consistency: 'strong' });
    if (event && isWithin(basis, placeOf(event))) low = middle + 1n;
    else high = middle;
  }
  return low;
}
