import { randomBytes } from 'node:crypto';
import { type ClientId, consumerClient, Failure, fastestClock, type Instant } from '#domain';
import {
  type BookOfRecord,
  type CallOptions,
  type EventLog,
  EventTooLarge,
  HistoryMissing,
  internalContext,
  RevisionConflict,
  settledWithin,
} from '#event-log';
import { type ChainLink, type NewEvent, seal, type UsageRecorded, usageStream } from '#events';
import type { Clock, Logger, OutageNotes } from '#platform';
import type { UnrecordedUsage, UsagePart } from './unrecorded-usage.js';

const RECORD_EVERY_MS = 60_000;
const TICK_MS = 1_000;
const LAST_APPEND_DEADLINE_MS = 2_000;

export interface UsageRecorderDependencies {
  readonly book: Pick<BookOfRecord, 'eventVersions'> & { readonly log: Pick<EventLog, 'append' | 'readStream'> };
  readonly clock: Clock;
}

interface SealedAppend {
  readonly part: UsagePart;
  readonly stream: string;
  readonly after: ChainLink | undefined;
  readonly event: NewEvent;
}

/** The last event in this process's own stream. */
interface EndOfStream {
  readonly stream: string;
  readonly link: ChainLink;
  readonly at: Instant;
}

/**
 * Records how clients were used, and the attempts that were refused:
 *
 * 1. Logins and gateway checks count in memory (`UnrecordedUsage`). Once a minute, or when the counters have become
 *    many, the counts are appended to this process's own stream.
 * 2. If the outcome of an append is unknown, the same append is sent again unchanged, so that nothing counts twice. A
 *    crash loses the counts that were not yet appended.
 * 3. A login with a made-up secret is refused without a look at the client (see `CredentialVerifier`). So only here,
 *    before the counts are appended, a read of the log tells whether there is a client with the claimed id. What claims
 *    an unknown id gets into the log as a number only.
 *
 * Not counted: introspections and revocations of tokens that succeed, since they use no service, and requests that were
 * not decided, such as those answered with 503.
 */
export class UsageRecorder {
  private process = newProcessId();
  /** Usage that was taken from `unrecorded` but is not appended yet, oldest first. */
  private parts: UsagePart[] = [];
  /** The append that was sent last, while its outcome is unknown. The log may already contain its event. */
  private sent: SealedAppend | undefined;
  private end: EndOfStream | undefined;
  private recordedAt: number;
  private timer: NodeJS.Timeout | undefined;
  /** Whether the last append failed because the log was unavailable or refused it. Each outage is logged only once. */
  private isLate = false;
  private recording: Promise<void> = Promise.resolve();

  constructor(
    private readonly dependencies: UsageRecorderDependencies,
    private readonly unrecorded: UnrecordedUsage,
    private readonly logger: Pick<Logger, 'warn' | 'error'>,
    private readonly outages: OutageNotes,
  ) {
    this.recordedAt = dependencies.clock().getTime();
  }

  /** Records when it is due, but never begins while the recording of an earlier tick is still under way. */
  start(): void {
    let isUnderWay = false;
    this.timer = setInterval(() => {
      if (isUnderWay || !this.isDue()) return;
      isUnderWay = true;
      void this.record().then(() => {
        isUnderWay = false;
      });
    }, TICK_MS);
  }

  /**
   * Appends the remaining counts: first those that need no look-up of a client. Gives up after 2 s, and the counts that
   * are not appended by then are lost.
   */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const options = { deadlineMs: LAST_APPEND_DEADLINE_MS };
    this.recording = this.recording.then(() => this.reportFailure(() => this.appendCounted(options)));
    await settledWithin(this.record(options), LAST_APPEND_DEADLINE_MS);
  }

  /**
   * Appends the counts since the last call. Never rejects. If the log is unavailable or refuses the append, the next
   * call appends these counts.
   */
  record(options?: CallOptions): Promise<void> {
    this.recordedAt = this.dependencies.clock().getTime();
    this.recording = this.recording.then(() => this.reportFailure(() => this.appendAll(options)));
    return this.recording;
  }

  /**
   * Whether a minute has passed since the last append, or no more combinations can be counted. `Math.abs` also makes an
   * append due if the clock was set back.
   */
  private isDue(): boolean {
    if (this.unrecorded.isFull) return true;
    return Math.abs(this.dependencies.clock().getTime() - this.recordedAt) >= RECORD_EVERY_MS;
  }

  private async appendAll(options: CallOptions | undefined): Promise<void> {
    await this.appendParts(options);
    await this.settleClaims(options);
    await this.appendCounted(options);
  }

  private async appendCounted(options: CallOptions | undefined): Promise<void> {
    await this.appendParts(options);
    this.parts = this.unrecorded.take();
    await this.appendParts(options);
  }

  private async reportFailure(append: () => Promise<void>): Promise<void> {
    try {
      await append();
      this.isLate = false;
    } catch (err) {
      if (err instanceof Failure && err.kind === 'unavailable') {
        if (!this.isLate && !this.outages.failed(err)) {
          this.logger.warn({ err }, 'the usage of clients could not be recorded yet');
        }
        this.isLate = true;
        return;
      }
      // The store would never take this append. We give it up, and the next event begins a new stream.
      this.logger.error({ err }, 'usage of clients was lost');
      this.sent = undefined;
      this.beginStream();
    }
  }

  /** Never rejects: claims of an id that can't be looked up now stay, and don't delay the other counts. */
  private async settleClaims(options: CallOptions | undefined): Promise<void> {
    const { log } = this.dependencies.book;
    const settle = async (client: ClientId) => {
      const events = await log.readStream(consumerClient.stream(client), { limit: 1, ...options });
      this.unrecorded.settleClaims(client, events.length > 0);
    };
    await Promise.allSettled(this.unrecorded.claimedIds().map(settle));
  }

  private async appendParts(options: CallOptions | undefined): Promise<void> {
    for (;;) {
      const sent = (this.sent ??= this.nextAppend());
      if (!sent) return;
      const { stream, after, event } = sent;
      const { hash, occurredAt: at } = event.metadata;
      try {
        const { log } = this.dependencies.book;
        const { revision } = await log.append(stream, after?.revision ?? 'none', [event], options);
        this.end = { stream, link: { revision, hash }, at };
        this.sent = undefined;
      } catch (error) {
        if (error instanceof EventTooLarge && this.splitInTwo(sent)) continue;
        const isRestored = error instanceof RevisionConflict;
        const isCut = error instanceof HistoryMissing && error.stream === stream;
        if (!isRestored && !isCut) throw error;
        this.repeatInNewStream(sent);
        if (after === undefined) throw error; // The name of this stream was new. We try again later.
      }
    }
  }

  /**
   * Puts the counts into two events, since the store was given a lower limit than ours. Returns `false` if there is only
   * one entry.
   */
  private splitInTwo({ part: { entries, unknownClients } }: SealedAppend): boolean {
    if (entries.length < 2) return false;
    const middle = Math.ceil(entries.length / 2);
    const [first, second] = [entries.slice(0, middle), entries.slice(middle)];
    this.parts.unshift({ entries: first, unknownClients }, { entries: second, unknownClients: 0 });
    this.sent = undefined;
    return true;
  }

  /**
   * No other process writes to our stream, so a conflict means that the log was restored to an older state. The log
   * does not contain the sent event then, because it would have taken the append for a repetition. The log does not
   * contain it either if the stream was cut or deleted before. So the same counts are sent again, in a new stream.
   */
  private repeatInNewStream({ part, stream }: SealedAppend): void {
    this.logger.warn({ stream }, 'the event log lost our stream of usage; the counts go to a new one');
    this.parts.unshift(part);
    this.sent = undefined;
    this.beginStream();
  }

  /** Skips parts about which the version that this process writes has nothing to say. */
  private nextAppend(): SealedAppend | undefined {
    for (let part = this.parts.shift(); part; part = this.parts.shift()) {
      const sealed = this.sealed(part);
      if (sealed) return sealed;
    }
    return undefined;
  }

  private sealed(part: UsagePart): SealedAppend | undefined {
    const now = this.dependencies.clock().toISOString();
    // The events of a stream are dated in order. So after the clock was ahead, this stream would date them wrongly.
    if (this.end && fastestClock(now) < this.end.at) this.beginStream();
    const at = this.end && now < this.end.at ? this.end.at : now;
    const stream = usageStream(at, this.process);
    const after = stream === this.end?.stream ? this.end.link : undefined;
    const usage: UsageRecorded = { type: 'UsageRecorded', data: { process: this.process, ...part } };
    const { eventVersions } = this.dependencies.book;
    const [event] = seal(stream, after, [usage], internalContext({ via: 'schedule' }), at, eventVersions);
    return event && { part, stream, after, event };
  }

  private beginStream(): void {
    this.process = newProcessId();
    this.end = undefined;
  }
}

/** Returns an id that names a new stream. The first append expects that the stream does not exist yet. */
const newProcessId = (): string => randomBytes(8).toString('hex');
