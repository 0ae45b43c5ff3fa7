import type { Instant } from '#domain';
import { type Position, type RecordedEvent, upcast } from '#events';
import { appendNext, type ReasonedActOptions } from './append-next.js';
import type { CallOptions } from './call-options.js';
import type { EventLog } from './port.js';
import { ADOPTIONS_STREAM } from './streams.js';

/** An operator's act after the log was restored to an older state: from then on, all processes use this log. */
export interface Adoption {
  /** Position and id of the event that was the log's last one. */
  readonly position: Position;
  readonly eventId: string;
  readonly reason: string;
  readonly adoptedAt: Instant;
  /** Who has adopted the log. */
  readonly subject: string;
}

/** Returns all adoptions, oldest first, by a strong read. Throws `LogUnavailable`, `HistoryMissing`, `UnknownEvent`. */
export const readAdoptions = async (
  log: Pick<EventLog, 'readStream'>,
  options?: CallOptions,
): Promise<readonly Adoption[]> => (await readEvents(log, options)).map(adoptionIn);

const readEvents = (log: Pick<EventLog, 'readStream'>, options?: CallOptions): Promise<RecordedEvent[]> =>
  log.readStream(ADOPTIONS_STREAM, { consistency: 'strong', isProbablyMissing: true, ...options });

function adoptionIn(recorded: RecordedEvent): Adoption {
  const event = upcast(recorded);
  if (event.type !== 'LogAdopted') throw new Error(`${event.type} is no event of ${ADOPTIONS_STREAM}`);
  return { ...event.data, subject: event.metadata.actor.subject };
}

/**
 * Adopts the log as it is now. Processes that have noticed a restore go on when they find this event. Throws
 * `InvalidEvent`, `LogUnavailable`.
 */
export async function adoptLog(log: EventLog, { reason, context, now }: ReasonedActOptions): Promise<void> {
  const [last] = await log.readAll({ direction: 'backwards', limit: 1, consistency: 'strong' });
  if (!last) throw new Error('This event log is empty');
  const { position, eventId } = last;
  await appendNext(log, {
    ...{ stream: ADOPTIONS_STREAM, context, now },
    read: () => readEvents(log),
    decide: (_, adoptedAt) => ({ type: 'LogAdopted', data: { position, eventId, reason, adoptedAt } }),
  });
}
