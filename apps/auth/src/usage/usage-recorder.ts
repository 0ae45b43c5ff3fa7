import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { ClientId, Instant } from '#domain';
import { type CallOptions, type EventLog, LogUnavailable } from '#event-log';
import { type ChainLink, type CommandContext, type NewEvent, type UsageRecorded, seal, usageStream } from '#events';
import { type Clock, type Logger, LOGGER } from '#platform';
import { DEPENDENCIES } from '../dependencies.js';
import { UnrecordedUsage } from './unrecorded-usage.js';

const RECORD_EVERY_MS = 60_000;
const TICK_MS = 1_000;
const LAST_APPEND_DEADLINE_MS = 2_000;

export interface UsageRecorderDependencies {
  readonly book: { readonly log: Pick<EventLog, 'append'> };
  readonly clock: Clock;
}

interface SealedAppend {
  readonly stream: string;
  readonly after: ChainLink | undefined;
  readonly event: NewEvent;
}

/** Where this process's own stream ends. */
interface EndOfStream {
  readonly stream: string;
  readonly link: ChainLink;
  readonly at: Instant;
}

/**
 * Counts uses of clients in memory, and appends them once a minute to a stream of this process's own. An append whose
 * outcome is unknown is sent again as it was, so none counts twice; a crash loses what was not appended.
 */
@Injectable()
export class UsageRecorder {
  private process = newProcessId();
  private readonly unrecorded = new UnrecordedUsage();
  /** Taken out of `unrecorded` to be appended, oldest first. */
  private parts: UsageRecorded['data']['clients'][] = [];
  /** May be in the log already. */
  private sent: SealedAppend | undefined;
  private end: EndOfStream | undefined;
  private recordedAt: number;
  private timer: NodeJS.Timeout | undefined;
  /** The log has not taken what was seen: told once. */
  private isLate = false;
  private recording: Promise<void> = Promise.resolve();

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: UsageRecorderDependencies,
    @Inject(LOGGER) private readonly logger: Pick<Logger, 'warn' | 'error'>,
  ) {
    this.recordedAt = dependencies.clock().getTime();
  }

  /** The client logged in or refreshed its tokens, or a gateway let a call of its through. */
  seen(clientId: ClientId, at: Instant): void {
    this.unrecorded.seen(clientId, at);
  }

  start(): void {
    this.timer = setInterval(() => {
      if (this.isDue()) void this.record();
    }, TICK_MS);
  }

  /** Records what is left, in 2 s. What the log does not take now is lost, as in a crash. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const givenUp = new AbortController();
    const deadline = delay(LAST_APPEND_DEADLINE_MS, undefined, { signal: givenUp.signal }).catch(() => undefined);
    await Promise.race([this.record({ deadlineMs: LAST_APPEND_DEADLINE_MS }), deadline]);
    givenUp.abort();
  }

  /** Appends what was seen since the last time. Never rejects: what the log does not take stays for the next time. */
  record(options?: CallOptions): Promise<void> {
    this.recordedAt = this.dependencies.clock().getTime();
    this.recording = this.recording.then(() => this.appendAll(options));
    return this.recording;
  }

  /** A clock that was put back must not put off the next event. */
  private isDue(): boolean {
    return Math.abs(this.dependencies.clock().getTime() - this.recordedAt) >= RECORD_EVERY_MS;
  }

  private async appendAll(options: CallOptions | undefined): Promise<void> {
    try {
      await this.appendParts(options);
      this.parts = this.unrecorded.take();
      await this.appendParts(options);
      this.isLate = false;
    } catch (err) {
      if (err instanceof LogUnavailable) {
        if (!this.isLate) this.logger.warn({ err }, 'the usage of clients could not be recorded yet');
        this.isLate = true;
        return;
      }
      // Nobody else writes this stream: the log was exchanged. What was sent may be in it, and is given up.
      this.logger.error({ err }, 'usage of clients was lost');
      this.sent = undefined;
      this.process = newProcessId();
    }
  }

  private async appendParts(options: CallOptions | undefined): Promise<void> {
    for (;;) {
      this.sent ??= this.sealedNext();
      if (!this.sent) return;
      const { stream, after, event } = this.sent;
      const { hash, occurredAt: at } = event.metadata;
      const { revision } = await this.dependencies.book.log.append(stream, after?.revision ?? 'none', [event], options);
      this.end = { stream, link: { revision, hash }, at };
      this.sent = undefined;
    }
  }

  private sealedNext(): SealedAppend | undefined {
    const clients = this.parts.shift();
    if (!clients) return undefined;
    const now = this.dependencies.clock().toISOString();
    const at = this.end && now < this.end.at ? this.end.at : now;
    const stream = usageStream(at, this.process);
    const after = stream === this.end?.stream ? this.end.link : undefined;
    const usage: UsageRecorded = { type: 'UsageRecorded', data: { process: this.process, clients } };
    const [event] = seal(stream, after, [usage], newContext(), at);
    return event && { stream, after, event };
  }
}

/** Nobody's before: a stream's first event is expected to be its first. */
const newProcessId = (): string => randomBytes(8).toString('hex');

const newContext = (): CommandContext => {
  const commandId = randomUUID();
  return {
    ...{ commandId, commandHash: '', correlationId: commandId, causationId: commandId },
    actor: { subject: 'consumer-clients', roles: [], via: 'schedule' },
  };
};
