import type { Instant } from '#domain';
import {
  type CommandContext,
  type RecordedEvent,
  type Revision,
  type StreamQuarantined,
  type StreamQuarantineLifted,
  upcast,
} from '#events';
import { appendNext } from './append-next.js';
import type { CallOptions } from './call-options.js';
import { LONG_AGO, type Moment, momentNow, msSince } from './clocks.js';
import { StreamIsQuarantined } from './errors.js';
import type { EventLog, StreamReadOptions } from './port.js';
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

/** For this many milliseconds after a failure, answers that must not wait for the log do not ask it again. */
const RETRY_AFTER_MS = 1_000;

/** The longest time, in ms, for which a process relies on its last look: the read that tells what is quarantined. */
const MAX_LOOK_AGE_MS = 2_000;

/**
 * When this many milliseconds have passed since the append of a quarantine was acknowledged, no process begins anything
 * with the stream any more. The same holds for the end of a quarantine.
 */
export const QUARANTINE_HOLDS_AFTER_MS = MAX_LOOK_AGE_MS;

interface Look {
  /** The moment before the read was sent. */
  readonly beganAt: Moment;
  readonly connectionEpoch: number;
  readonly found: QuarantinesInForce;
  /** Whether stream `quarantines` had no event. */
  readonly isMissing: boolean;
}

const NO_LOOK: Look = { beganAt: LONG_AGO, connectionEpoch: -1, found: new Map(), isMissing: true };

/**
 * Tells which streams are quarantined. A look is a strong read of stream `quarantines` (a read that returns every event
 * acknowledged before). A look counts for 2 s. Whoever quarantines a stream waits that long after the append, so every
 * look that counts after this wait began after the append, and has found the quarantine. While a log is in use, a new
 * look begins before the old one is too old, so that nobody waits for it.
 */
export class Quarantines {
  private latest = NO_LOOK;
  /** Looks that began before this moment do not count. */
  private expiredAt = LONG_AGO;
  /** When an answer last waited for the log in vain. */
  private failedAt = LONG_AGO;
  private refreshing: Promise<unknown> | undefined;

  constructor(private readonly log: Pick<EventLog, 'readStream' | 'connectionEpoch'>) {}

  /** Throws `StreamIsQuarantined` if the stream is quarantined, and what `inForce` throws. */
  async requireFree(stream: string, options?: CallOptions): Promise<void> {
    if ((await this.inForce(options)).has(stream)) throw new StreamIsQuarantined(stream);
  }

  /** Returns the quarantines that are in force. Throws `LogUnavailable`, `HistoryMissing`. */
  async inForce(options?: CallOptions): Promise<QuarantinesInForce> {
    const { found, beganAt, connectionEpoch } = this.latest;
    const ageMs = connectionEpoch === this.log.connectionEpoch ? msSince(beganAt) : Infinity;
    if (ageMs >= MAX_LOOK_AGE_MS) return this.look(options);
    if (ageMs >= MAX_LOOK_AGE_MS / 2) {
      // If this look fails, the next one that somebody waits for fails, too.
      this.refreshing ??= this.look()
        .catch(() => undefined)
        .finally(() => (this.refreshing = undefined));
    }
    return found;
  }

  /** The quarantines that the last look has found. */
  get lastKnown(): QuarantinesInForce {
    return this.latest.found;
  }

  /**
   * Returns the quarantines that are in force; those that are known if the log does not answer within half a second,
   * and at once during the second after that. For answers that must not wait for the log.
   */
  async inForceOrLastKnown(): Promise<QuarantinesInForce> {
    if (msSince(this.failedAt) < RETRY_AFTER_MS) return this.lastKnown;
    try {
      return await this.inForce({ deadlineMs: 500 });
    } catch {
      this.failedAt = momentNow();
      return this.lastKnown;
    }
  }

  /** Forgets the last look, because `quarantines` has a new event. */
  expire(): void {
    this.latest = { ...this.latest, beganAt: LONG_AGO };
    this.expiredAt = momentNow();
  }

  private async look(options?: CallOptions): Promise<QuarantinesInForce> {
    const beganAt = momentNow();
    const { connectionEpoch } = this.log;
    const events = await readEvents(this.log, { ...options, isProbablyMissing: this.latest.isMissing });
    const found = inForceAfter(events);
    const isNewest = beganAt.monotonic >= Math.max(this.latest.beganAt.monotonic, this.expiredAt.monotonic);
    if (isNewest) this.latest = { beganAt, connectionEpoch, found, isMissing: events.length === 0 };
    return found;
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

export interface QuarantineOptions {
  /** Why. The event stores this reason for auditors, and the API shows it. */
  readonly reason: string;
  readonly context: CommandContext;
  readonly now: () => Date;
}

/**
 * Quarantines a stream. `lastRevision` is the revision of its last event, if it can be told. The quarantine holds in
 * all processes when `QUARANTINE_HOLDS_AFTER_MS` have passed after this call. Returns `false` if the stream is
 * quarantined already. Throws `InvalidEvent`, `LogUnavailable`.
 */
export const quarantineStream = (
  log: EventLog,
  { stream, lastRevision }: { readonly stream: string; readonly lastRevision: Revision | undefined },
  options: QuarantineOptions,
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
export const liftQuarantine = (log: EventLog, stream: string, options: QuarantineOptions): Promise<boolean> =>
  append(log, options, (inForce, at) =>
    inForce.has(stream)
      ? { type: 'StreamQuarantineLifted', data: { stream, reason: options.reason, liftedAt: at } }
      : undefined,
  );

const append = (
  log: EventLog,
  { context, now }: QuarantineOptions,
  decide: (inForce: QuarantinesInForce, at: Instant) => StreamQuarantined | StreamQuarantineLifted | undefined,
): Promise<boolean> =>
  appendNext(log, {
    ...{ stream: QUARANTINES_STREAM, context, now },
    read: () => readEvents(log),
    decide: (events, at) => decide(inForceAfter(events), at),
  });
