import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import {
  type Appended,
  type CallOptions,
  type EventLog,
  type ExpectedRevision,
  type LogBatch,
  type LogReadOptions,
  type StreamReadOptions,
  type SubscribeOptions,
  LOG_STREAM,
  LogUnavailable,
  serialiseAppend,
} from '#event-log';
import type { NewEvent, Position, RecordedEvent } from '#events';
import { append } from './appends.js';
import { Connection } from './connection.js';
import { parseConnectionString, withOptions } from './connection-string.js';
import { Deadline } from './deadline.js';
import { readEnd, readLog, readStream } from './reads.js';
import { MAX_SEAL_AGE_MS, SealCheck } from './seal-check.js';
import { StrongReads } from './strong-reads.js';
import { follow } from './subscription.js';

/** What a connection is for: each kind of calls has its own, so that none waits behind another's. */
export type ConnectionPurpose = 'appends' | 'strong reads' | 'reads' | 'subscriptions';

/** Makes a client of the driver, with a connection of its own; called again whenever one is replaced. */
export type ClientFactory = (purpose: ConnectionPurpose) => EventStoreDBClient;

interface CommonOptions {
  /** Milliseconds a call may take where it doesn't say (default 10,000). */
  readonly deadlineMs?: number;
  /**
   * Milliseconds for which an append that a quorum acknowledged proves that strong reads come from the leader (default
   * 2000: half of what the servers need at least to elect another). 0: each strong read waits for one of its own.
   */
  readonly fenceMaxAgeMs?: number;
  /** Name of this process, unique among those that use the server (default: a UUID). */
  readonly processName?: string;
  /** In milliseconds since 1970 (default: the system's). */
  readonly wallClock?: () => number;
}

export interface EventStoreDbLogOptions extends CommonOptions {
  /** `esdb://…`; name every node of a cluster, or use `esdb+discover://…`. Without TLS: `?tls=false`. */
  readonly url: string;
}

/**
 * The event log on EventStoreDB or KurrentDB, 23.10 or newer. Connects at the first call, and again whenever the
 * connection is lost. Throws `TypeError` for what is no connection string.
 */
export function openEventStoreDbLog({ url: given, ...options }: EventStoreDbLogOptions): EventLog {
  const { url, credentials } = parseConnectionString(given);
  return new EventStoreDbLog({ ...options, credentials, createClient: () => createClient(url) });
}

let clients = 0;

/** Clients with the same options would share a connection: so each has another keep-alive interval. */
const createClient = (url: string): EventStoreDBClient =>
  EventStoreDBClient.connectionString(
    withOptions(url, {
      nodePreference: 'leader',
      throwOnAppendFailure: true,
      gossipTimeout: 2,
      // By this a subscription learns that its server says nothing any more: 13 s after it froze, where others lead by then.
      keepAliveInterval: 10_000 + (clients++ % 1_000),
      keepAliveTimeout: 3_000,
    }),
  );

export interface EventStoreDbClients extends CommonOptions {
  readonly createClient: ClientFactory;
  readonly credentials: Credentials;
}

const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_FENCE_MAX_AGE_MS = 2_000;

/** The event log on clients that the caller makes. */
export class EventStoreDbLog implements EventLog {
  readonly sealHoldsAfterMs: number;
  private readonly appends: Connection;
  private readonly reads: Connection;
  private readonly subscriptions: Connection;
  private readonly strongConnection: Connection;
  private readonly strongReads: StrongReads;
  private readonly sealCheck: SealCheck;
  private readonly credentials: Credentials;
  private readonly deadlineMs: number;
  private readonly closing = new AbortController();
  private readonly accepted = new Set<Promise<Appended>>();
  private closed: Promise<void> | undefined;

  constructor(options: EventStoreDbClients) {
    const { createClient, credentials, deadlineMs = DEFAULT_DEADLINE_MS } = options;
    const { processName = randomUUID(), fenceMaxAgeMs = DEFAULT_FENCE_MAX_AGE_MS } = options;
    setMaxListeners(0, this.closing.signal); // One for each call that waits.
    const connectionFor = (purpose: ConnectionPurpose) => new Connection(() => createClient(purpose));
    this.appends = connectionFor('appends');
    this.reads = connectionFor('reads');
    this.subscriptions = connectionFor('subscriptions');
    this.strongConnection = connectionFor('strong reads');
    const { wallClock = () => Date.now() } = options;
    const fences = { connection: this.strongConnection, credentials, processName, maxAgeMs: fenceMaxAgeMs, wallClock };
    this.strongReads = new StrongReads(fences, deadlineMs);
    this.credentials = credentials;
    this.deadlineMs = deadlineMs;
    this.sealHoldsAfterMs = MAX_SEAL_AGE_MS + Math.max(deadlineMs, DEFAULT_DEADLINE_MS);
    const lastOfLogStream = { direction: 'backwards', limit: 1 } as const;
    this.sealCheck = new SealCheck(
      () => this.strongReads.readStream(LOG_STREAM, lastOfLogStream, new Deadline(deadlineMs)),
      fenceMaxAgeMs,
    );
  }

  get interruptions(): number {
    return this.strongConnection.losses;
  }

  get clockSkewMs(): number {
    return this.strongReads.fences.clockSkewMs;
  }

  async append(
    stream: string,
    expected: ExpectedRevision,
    events: readonly NewEvent[],
    { deadlineMs = this.deadlineMs }: CallOptions = {},
  ): Promise<Appended> {
    const deadline = this.accept({ deadlineMs: Math.min(deadlineMs, this.deadlineMs) });
    const appending = this.appendUnlessSealed(stream, expected, events, deadline);
    this.accepted.add(appending);
    try {
      return await appending;
    } finally {
      this.accepted.delete(appending);
    }
  }

  async readStream(stream: string, options: StreamReadOptions = {}): Promise<RecordedEvent[]> {
    const deadline = this.accept(options);
    if (options.limit === 0) return [];
    if (options.consistency === 'strong') {
      return this.strongReads.readStream(stream, options, deadline, this.closing.signal);
    }
    const attempt = () => this.reads.use(deadline, (link) => readStream(link, stream, options, deadline));
    return deadline.retry(attempt, this.closing.signal);
  }

  async readAll(options: LogReadOptions = {}): Promise<RecordedEvent[]> {
    const deadline = this.accept(options);
    if (options.limit === 0) return [];
    if (options.consistency === 'strong') return this.strongReads.readLog(options, deadline, this.closing.signal);
    const attempt = () => this.reads.use(deadline, (link) => readLog(link, options, deadline));
    return deadline.retry(attempt, this.closing.signal);
  }

  async eventAt(position: Position): Promise<RecordedEvent | undefined> {
    const [found] = await this.strongReads.readEventAt(position, this.accept(), this.closing.signal);
    return found;
  }

  async end(): Promise<Position | undefined> {
    const deadline = this.accept();
    return deadline.retry(() => this.reads.use(deadline, (link) => readEnd(link, deadline)), this.closing.signal);
  }

  subscribe(options: SubscribeOptions): AsyncIterable<LogBatch> {
    const { fences } = this.strongReads;
    return follow(this.subscriptions, options, { fences, deadlineMs: this.deadlineMs, closing: this.closing.signal });
  }

  /** A fence, that comes back through the subscriptions that ask for it. */
  async mark(): Promise<void> {
    const deadline = this.accept();
    await deadline.retry(() => this.strongReads.fences.mark(deadline), this.closing.signal);
  }

  close(): Promise<void> {
    this.closing.abort();
    this.closed ??= Promise.allSettled(this.accepted).then(() => {
      const { appends, reads, strongConnection, subscriptions } = this;
      for (const connection of [appends, reads, strongConnection, subscriptions]) connection.close();
    });
    return this.closed;
  }

  private async appendUnlessSealed(
    stream: string,
    expected: ExpectedRevision,
    newEvents: readonly NewEvent[],
    deadline: Deadline,
  ): Promise<Appended> {
    const { bytes } = serialiseAppend(stream, expected, newEvents);
    if (stream !== LOG_STREAM) await this.sealCheck.requireUnsealed(deadline);
    return append(this.appends, { stream, expected, newEvents, bytes }, this.credentials, deadline);
  }

  private accept({ deadlineMs = this.deadlineMs }: CallOptions = {}): Deadline {
    if (this.closing.signal.aborted) throw new LogUnavailable('The event log is closed');
    return new Deadline(deadlineMs);
  }
}
