import { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Failure, type WorkspaceId } from '#domain';
import type { Position } from '#events';
import type { CloudEvent, OcsfEvent } from '#feeds';
import { addReadings, BeforeFastify, LOGGER, type Logger, Registry, validationFailed } from '#platform';
import { expiryOf, InvalidManagementToken } from '#tokens';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { answerEnded } from '../requests/answer-ended.js';
import { POSITION } from '../requests/position.js';
import { type FeedFormat, formatted, originOf, placeOf } from './get-feed-page.js';

/** Number of streams that one subject may have open at this process. */
const MAX_STREAMS_OF_SUBJECT = 16;
/** How often a comment is sent while nothing happens, in ms. Proxies close connections that are idle for longer. */
const HEARTBEAT_MS = 15_000;
/** How long a caller may take to read anything, in ms. */
const STUCK_MS = 60_000;
/** Number of bytes that are prepared for a caller who is slow to read; beyond that, the stream waits. */
const BUFFERED_BYTES = 64 * 1024;
/** The longest time that a timer of Node can wait, in ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The subject has as many open streams as it may have. */
export class TooManyEventStreams extends Failure {
  override readonly name = 'TooManyEventStreams';
  readonly kind = 'too_many';
  readonly code = 'too_many_event_streams';
  readonly detail = 'This caller has too many open event streams; close one first';
}

/** Returns the event in the format of server-sent events. */
export const serverSentEvent = (position: Position, event: CloudEvent | OcsfEvent): string =>
  `id: ${position}\ndata: ${JSON.stringify(event)}\n\n`;

export interface StreamQuestion {
  readonly workspaceId: WorkspaceId;
  readonly subject: string;
  /** The stream begins after this position. */
  readonly after: string | undefined;
  /** The management token with which the caller came. */
  readonly token: string | undefined;
  readonly format: FeedFormat | undefined;
  readonly reply: FastifyReply;
}

/** The open streams of server-sent events of this process. */
@Injectable()
export class EventStreams {
  private readonly openOf = new Map<string, number>();

  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies,
    @Inject(BeforeFastify) private readonly platform: BeforeFastify,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(Registry) registry: Registry,
  ) {
    const metric = { type: 'gauge', name: 'event_streams_open', help: 'Open streams of server-sent events' } as const;
    addReadings(registry, metric, () => [
      { labels: {}, value: [...this.openOf.values()].reduce((sum, count) => sum + count, 0) },
    ]);
  }

  /**
   * Opens a stream. It ends when the caller goes, when the caller's token expires or is ended, when the process stops,
   * and when the log can't be read: the caller connects again, and gets the reason or goes on. Throws
   * `TooManyEventStreams`, and `Problem` if the log does not have the position.
   */
  async open({ workspaceId, subject, after, token = '', format, reply }: StreamQuestion): Promise<Readable> {
    if (after !== undefined && !POSITION.test(after)) {
      throw validationFailed({ field: 'Last-Event-ID', message: 'must be a position of 20 digits' });
    }
    const open = this.openOf.get(subject) ?? 0;
    if (open >= MAX_STREAMS_OF_SUBJECT) throw new TooManyEventStreams();
    const gone = answerEnded(reply);
    gone.throwIfAborted();
    this.openOf.set(subject, open + 1);
    gone.addEventListener('abort', () => {
      this.closed(subject);
    });
    const place = await placeOf(this.dependencies, after);
    const origin = await originOf(this.dependencies);
    const expired = new AbortController();
    const signal = AbortSignal.any([gone, expired.signal, this.platform.stopping]);
    const expiresInMs = (expiryOf(token) ?? Infinity) - this.dependencies.clock().getTime();
    const timer = setTimeout(
      () => {
        expired.abort();
      },
      Math.min(expiresInMs, LONGEST_TIMER_MS),
    );
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
    });
    // Heartbeats keep a connection alive whose caller reads. If not even those can be sent, the caller is stuck.
    reply.raw.setTimeout(STUCK_MS, () => {
      reply.raw.destroy();
    });
    return Readable.from(this.textOf({ workspaceId, after: place, origin, format, token, signal }), {
      objectMode: false,
      highWaterMark: BUFFERED_BYTES,
    });
  }

  private async *textOf({
    token,
    origin,
    format,
    ...question
  }: {
    readonly workspaceId: WorkspaceId;
    readonly after: string | undefined;
    readonly origin: string;
    readonly format: FeedFormat | undefined;
    readonly token: string;
    readonly signal: AbortSignal;
  }): AsyncGenerator<string, void> {
    // Sends the headers at once.
    yield ': \n\n';
    let place = question.after;
    let verifiedAt = performance.now();
    try {
      for await (const { events, next } of this.dependencies.feed.follow({ ...question, idleMs: HEARTBEAT_MS })) {
        if (performance.now() - verifiedAt >= HEARTBEAT_MS) {
          if (!(await this.isGood(token))) return;
          verifiedAt = performance.now();
        }
        const messages = events.map((each) => serverSentEvent(each.event.position, formatted(each, origin, format)));
        if (messages.length > 0) yield messages.join('');
        // An id without data is no event, but is remembered: after the next connect, nothing is looked through again.
        if (events.length === 0) yield next === undefined || next === place ? ': \n\n' : `: \nid: ${next}\n\n`;
        place = next;
      }
    } catch (error) {
      if (!question.signal.aborted) this.logger.warn({ err: error }, 'a stream of events was ended');
    }
  }

  /** An issuer that can't be reached ends no stream before its token expires. */
  private async isGood(token: string): Promise<boolean> {
    try {
      await this.dependencies.tokens.verify(token);
      return true;
    } catch (error) {
      return !(error instanceof InvalidManagementToken);
    }
  }

  private closed(subject: string): void {
    const left = (this.openOf.get(subject) ?? 1) - 1;
    if (left > 0) this.openOf.set(subject, left);
    else this.openOf.delete(subject);
  }
}
