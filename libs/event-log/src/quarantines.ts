import type { Instant } from '#domain';
import {
  type RecordedEvent,
  type Revision,
  type StreamQuarantined,
  type StreamQuarantineLifted,
  upcast,
} from '#events';
import { appendNext, type ReasonedActOptions } from './append-next.js';
import { type Basis, isWithin, placeOf } from './basis.js';
import type { CallOptions } from './call-options.js';
import { StreamIsQuarantined } from './errors.js';
import type { EventLog, StreamReadOptions } from './port.js';
import { type Look, LOOKS_HOLD_AFTER_MS, StreamLooks } from './stream-looks.js';
import { isQuarantinable, QUARANTINES_STREAM } from './streams.js';

/** A quarantine that is in force: an operator has decided that everything else goes on without this stream. */
export interface Quarantine {
  readonly stream: string;
  readonly reason: string;
  readonly quarantinedAt: Instant;
  /** Who has quarantined the stream. */
  readonly subject: string;
  /** The revision that the stream's last event had, if it could be told. */
  readonly lastRevision?: number;
}

/** The quarantines that are in force, by their streams. */
export type QuarantinesInForce = ReadonlyMap<string, Quarantine>;

/**
 * When this many milliseconds have passed since the append of a quarantine was acknowledged, no process begins anything
 * with the stream any more. The same holds for the end of a quarantine.
 */
export const QUARANTINE_HOLDS_AFTER_MS = LOOKS_HOLD_AFTER_MS;

/** Tells which streams are quarantined. */
export class Quarantines extends StreamLooks<QuarantinesInForce> {
  constructor(log: Pick<EventLog, 'readStream' | 'connectionEpoch'>) {
    super(log, new Map());
  }

  /** Throws `StreamIsQuarantined` if the stream is quarantined, and what `inForce` throws. */
  async requireFree(stream: string, options?: CallOptions): Promise<void> {
    if ((await this.inForce(options)).has(stream)) throw new StreamIsQuarantined(stream);
  }

  protected async read({ isMissing }: Look<QuarantinesInForce>, options?: CallOptions) {
    const events = await readEvents(this.log, { ...options, isProbablyMissing: isMissing });
    return { found: inForceAfter(events), isMissing: events.length === 0 };
  }
}

/**
 * Returns the quarantines that are in force, by a strong read. Throws `LogUnavailable`, `HistoryMissing`,
 * `UnknownEvent`.
 */
export const readQuarantines = async (
  log: Pick<EventLog, 'readStream'>,
  options?: CallOptions,
): Promise<QuarantinesInForce> => inForceAfter(await readEvents(log, options));

/** Returns the quarantines that were in force in the past. Throws what `readQuarantines` throws. */
export const readQuarantinesAsOf = async (
  log: Pick<EventLog, 'readStream'>,
  basis: Basis,
  options?: CallOptions,
): Promise<QuarantinesInForce> =>
  inForceAfter((await readEvents(log, options)).filter((event) => isWithin(basis, placeOf(event))));

const readEvents = (
  log: Pick<EventLog, 'readStream'>,
  options?: Pick<StreamReadOptions, keyof CallOptions | 'isProbablyMissing'>,
): Promise<RecordedEvent[]> => log.readStream(QUARANTINES_STREAM, { consistency: 'strong', ...options });

function inForceAfter(events: readonly RecordedEvent[]): QuarantinesInForce {
  const found = new Map<string, Quarantine>();
  for (const recorded of events) {
    const event = upcast(recorded);
    if (event.type === 'StreamQuarantined') {
      // Without the other streams nothing works, so a quarantine of one that somebody wrote by hand does not count.
      if (!isQuarantinable(event.data.stream)) continue;
      found.set(event.data.stream, { ...event.data, subject: event.metadata.actor.subject });
    } else if (event.type === 'StreamQuarantineLifted') {
      found.delete(event.data.stream);
    } else {
      throw new Error(`${event.type} is no event of ${QUARANTINES_STREAM}`);
    }
  }
  return found;
}

/**
 * Quarantines a stream. `lastRevision` is the revision of its last event, if it can be told. The quarantine holds in
 * all processes when `QUARANTINE_HOLDS_AFTER_MS` have passed after this call. Returns `false` if the stream is
 * quarantined already. Throws `InvalidEvent`, `LogUnavailable`.
 */
export const quarantineStream = (
  log: EventLog,
  { stream, lastRevision }: { readonly stream: string; readonly lastRevision: Revision | undefined },
  options: ReasonedActOptions,
): Promise<boolean> =>
  append(log, options, (inForce, quarantinedAt) => {
    if (inForce.has(stream)) return undefined;
    const { reason } = options;
    const known = lastRevision !== undefined && { lastRevision: Number(lastRevision) };
    return { type: 'StreamQuarantined', data: { stream, reason, quarantinedAt, ...known } };
  });

/**
 * Lifts the quarantine of a stream. The stream MUST be whole, and the builds of the projections that fold it MUST
 * contain all its events. Returns `false` if the stream is not quarantined. Throws `InvalidEvent`, `LogUnavailable`.
 */
export const liftQuarantine = (log: EventLog, stream: string, options: ReasonedActOptions): Promise<boolean> =>
  append(log, options, (inForce, at) =>
    inForce.has(stream)
      ? { type: 'StreamQuarantineLifted', data: { stream, reason: options.reason, liftedAt: at } }
      : undefined,
  );

const append = (
  log: EventLog,
  { context, now }: ReasonedActOptions,
  decide: (inForce: QuarantinesInForce, at: Instant) => StreamQuarantined | StreamQuarantineLifted | undefined,
): Promise<boolean> =>
  appendNext(log, {
    ...{ stream: QUARANTINES_STREAM, context, now },
    read: () => readEvents(log),
    decide: (events, at) => decide(inForceAfter(events), at),
  });
