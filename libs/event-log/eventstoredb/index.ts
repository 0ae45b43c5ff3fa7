import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import {
  ADOPTIONS_STREAM,
  type Appended,
  type CallOptions,
  type EventLog,
  type ExpectedRevision,
  HistoryMissing,
  LOG_STREAM,
  type LogBatch,
  type LogReadOptions,
  LogRefused,
  type LogRestored,
  LogUnavailable,
  MissingHistory,
  type OutageObserver,
  serialiseAppend,
  type StreamCut,
  type StreamReadOptions,
  type SubscribeOptions,
} from '#event-log';
import type { NewEvent, Position, RecordedEvent } from '#events';
import { append } from './appends.js';
import { Connection, type Link } from './connection.js';
import { type ConnectionFailureExplainer, explainerFor } from './connection-failure.js';
import { parseConnectionString, withOptions } from './connection-string.js';
import { Deadline } from './deadline.js';
import { lookAtEnd, mayReadMetadata, readEnd, readLog, readStream } from './reads.js';
import { RestoredLog } from './restored-log.js';
import { SameLog } from './same-log.js';
import { MAX_SEAL_AGE_MS, SealCheck } from './seal-check.js';
import { EventStoreDbSnapshots } from './snapshots.js';
import { StreamCuts } from './stream-cuts.js';
import { InvalidPrefix, StreamNames } from './stream-names.js';
import { StrongReads } from './strong-reads.js';
import { follow } from './subscription.js';

export { InvalidPrefix };

/** The kinds of calls. Each kind has its own connection, so that no call waits behind calls of another kind. */
export type ConnectionPurpose = 'appends' | 'strong reads' | 'reads' | 'subscriptions';

/**
 * Creates a client of the driver with its own connection. The factory is called again whenever a lost connection is
 * replaced.
 */
export type ClientFactory = (purpose: ConnectionPurpose) => EventStoreDBClient;

interface CommonOptions {
  /** The deadline of calls that don't name a deadline, in milliseconds (default 10,000). */
  readonly deadlineMs?: number;
  /**
   * How long a fence counts, in milliseconds. A fence is a write that proves that the connection reaches the current
   * leader; see `Fences`. The default is 2000, half of the shortest time in which the servers can elect another leader.
   * If the value is 0, each strong read (a read that is never outdated) waits for a fence that begins after the read's
   * call.
   */
  readonly fenceMaxAgeMs?: number;
  /**
   * The prefix of this installation: it stands before the name of each of our streams on the server (default: no prefix).
   * So several installations can share a server. `InvalidPrefix` says which prefixes are refused.
   */
  readonly prefix?: string;
  /** The name of this process, unique among all processes that use the server (default: a UUID). */
  readonly processName?: string;
  /** Returns the time in milliseconds since 1970 (default: the system's clock). */
  readonly wallClock?: () => number;
  /**
   * What operators call the connection string, for errors: the environment variable (default: `EVENTSTOREDB_URL`), or the
   * option of a command.
   */
  readonly urlName?: string;
}

const DEFAULT_URL_NAME = 'EVENTSTOREDB_URL';

export interface EventStoreDbLogOptions extends CommonOptions {
  /**
   * The connection string: `esdb://…` with the names of all nodes of the cluster, or `esdb+discover://…`.
   * `kurrentdb`, `kurrent` and `kdb` mean the same as `esdb`. For a server without TLS, the string ends with
   * `?tls=false`.
   */
  readonly url: string;
}

/**
 * Opens the event log on EventStoreDB or KurrentDB, version 23.10 or newer. The log connects at the first call, and
 * again after each loss of the connection. Throws `TypeError` for a bad connection string, `InvalidPrefix`, and Node's
 * error for a file that the string names and that can't be read.
 */
export function openEventStoreDbLog({ url: given, ...options }: EventStoreDbLogOptions): EventStoreDbLog {
  const { url, credentials } = parseConnectionString(given);
  const explain = explainerFor(url, options.urlName ?? DEFAULT_URL_NAME);
  return new EventStoreDbLog({ ...options, credentials, createClient: () => createClient(url), explain });
}

let clients = 0;

/**
 * Creates a client with its own connection. The driver makes clients with equal options share a connection, so each
 * client gets a different keep-alive interval.
 */
const createClient = (url: string): EventStoreDBClient =>
  EventStoreDBClient.connectionString(
    withOptions(url, {
      nodePreference: 'leader',
      throwOnAppendFailure: true,
      gossipTimeout: 2,
      // With these two intervals, a subscription notices after 13 s that its server is frozen. By then another server
      // is the leader.
      keepAliveInterval: 10_000 + (clients++ % 1_000),
      keepAliveTimeout: 3_000,
    }),
  );

export interface EventStoreDbClients extends CommonOptions {
  readonly createClient: ClientFactory;
  readonly credentials: Credentials;
  /** Explains why a client can't connect. By default, the driver's error has to do. */
  readonly explain?: ConnectionFailureExplainer;
}

const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_FENCE_MAX_AGE_MS = 2_000;

/** The event log on EventStoreDB. The caller passes a function that creates the driver's clients. */
export class EventStoreDbLog implements EventLog {
  readonly sealHoldsAfterMs: number;
  readonly missingHistory = new MissingHistory();
  readonly snapshots: EventStoreDbSnapshots;
  private readonly appends: Connection;
  private readonly reads: Connection;
  private readonly subscriptions: Connection;
  private readonly strongConnection: Connection;
  private readonly strongReads: StrongReads;
  private readonly sealCheck: SealCheck;
  private readonly sameLog = new SameLog();
  private readonly restoredLog = new RestoredLog(this.sameLog);
  /** Commit position up to which this process has looked for the newest event of the log. */
  private lookedTo = -1n;
  private readonly streamCuts: StreamCuts;
  /** The streams that were found to be cut, and from which no event was read since. */
  private readonly newlyCut = new Set<string>();
  private isLookingForEvents = false;
  private readonly credentials: Credentials;
  private readonly urlName: string;
  private readonly deadlineMs: number;
  private readonly closing = new AbortController();
  private readonly accepted = new Set<Promise<Appended>>();
  private closed: Promise<void> | undefined;

  constructor(options: EventStoreDbClients) {
    const { createClient, credentials, explain, deadlineMs = DEFAULT_DEADLINE_MS } = options;
    const { processName = randomUUID(), fenceMaxAgeMs = DEFAULT_FENCE_MAX_AGE_MS } = options;
    const { urlName = DEFAULT_URL_NAME } = options;
    this.urlName = urlName;
    // Every waiting call adds a listener to this signal. The 0 turns off Node's warning about many listeners.
    setMaxListeners(0, this.closing.signal);
    const names = new StreamNames(options.prefix ?? '');
    const connectionFor = (purpose: ConnectionPurpose) =>
      new Connection(() => createClient(purpose), names, urlName, explain);
    this.appends = connectionFor('appends');
    this.reads = connectionFor('reads');
    this.subscriptions = connectionFor('subscriptions');
    this.strongConnection = connectionFor('strong reads');
    const { wallClock = () => Date.now() } = options;
    const { strongConnection: connection, restoredLog } = this;
    const fences = { connection, credentials, processName, maxAgeMs: fenceMaxAgeMs, wallClock };
    this.strongReads = new StrongReads({ ...fences, deadlineMs, restoredLog });
    this.credentials = credentials;
    this.deadlineMs = deadlineMs;
    this.snapshots = new EventStoreDbSnapshots({
      // A new process has this connection already when it reads its first snapshot.
      reads: this.strongConnection,
      appends: this.appends,
      credentials,
      accept: (call) => this.accept(call),
      requireSameLog: (link, deadline) => this.requireSameLog(link, deadline, this.restoredLog.era),
    });
    const { subscriptions, snapshots, closing } = this;
    this.streamCuts = new StreamCuts({ connection: subscriptions, snapshots, deadlineMs, closing: closing.signal });
    this.sealHoldsAfterMs = MAX_SEAL_AGE_MS + Math.max(deadlineMs, DEFAULT_DEADLINE_MS);
    const lastOfLogStream = { direction: 'backwards', limit: 1 } as const;
    this.sealCheck = new SealCheck(
      () =>
        this.missingHistory.reading(LOG_STREAM, lastOfLogStream, () =>
          this.strongReads.readStream(LOG_STREAM, lastOfLogStream, new Deadline(deadlineMs)),
        ),
      fenceMaxAgeMs,
    );
  }

  get connectionEpoch(): number {
    return this.strongConnection.losses;
  }

  get restored(): LogRestored | undefined {
    return this.restoredLog.error;
  }

  /** The value is always 0: the clock is compared with the leader's clock (`clockSkewMs`). */
  readonly clockBehindMs = 0;

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
    const deadline = await this.acceptUnlessRestored(options);
    if (options.limit === 0) return [];
    const { era } = this.restoredLog;
    const events = await this.missingHistory.reading(stream, options, () => {
      if (options.consistency === 'strong') {
        this.sealCheck.prepare();
        return this.strongReads.readStream(stream, options, deadline, this.closing.signal);
      }
      return this.fromReads(deadline, (link) => readStream(link, stream, options, deadline));
    });
    if (stream === LOG_STREAM) this.sameLog.note(events);
    if (options.consistency === 'strong') this.remember(lastOf(events), era);
    return events;
  }

  async readAll(options: LogReadOptions = {}): Promise<RecordedEvent[]> {
    const deadline = await this.acceptUnlessRestored(options);
    if (options.limit === 0) return [];
    if (options.consistency !== 'strong') return this.fromReads(deadline, (link) => readLog(link, options, deadline));
    const { era } = this.restoredLog;
    const events = await this.strongReads.readLog(options, deadline, this.closing.signal);
    this.remember(options.direction === 'backwards' ? events[0] : events.at(-1), era);
    return events;
  }

  async eventAt(position: Position): Promise<RecordedEvent | undefined> {
    const deadline = await this.acceptUnlessRestored();
    const { era } = this.restoredLog;
    const [found] = await this.strongReads.readEventAt(position, deadline, this.closing.signal);
    this.remember(found, era);
    return found;
  }

  async end(): Promise<Position | undefined> {
    const deadline = await this.acceptUnlessRestored();
    return this.fromReads(deadline, (link) => readEnd(link, deadline));
  }

  async *subscribe(options: SubscribeOptions): AsyncGenerator<LogBatch> {
    await this.acceptUnlessRestored();
    const { era } = this.restoredLog;
    for await (const batch of this.follow(options)) {
      // What was fetched before a restore must not be taken for a part of the restored log.
      if (era !== this.restoredLog.era) throw new LogUnavailable('The event log was restored');
      this.remember(batch.events.at(-1), era);
      yield batch;
    }
  }

  private follow(options: SubscribeOptions): AsyncIterable<LogBatch> {
    const { fences } = this.strongReads;
    return follow(this.subscriptions, options, {
      fences,
      lookAtEnd: (after) => {
        const deadline = this.accept();
        return this.fromReads(deadline, (link) => lookAtEnd(link, after, deadline));
      },
      ...{ deadlineMs: this.deadlineMs, closing: this.closing.signal },
    });
  }

  /**
   * Tries every right that a process needs: to append to our streams and to set their metadata (by a fence), to read our
   * streams, and to read the whole log. Resolves with what the account lacks and a process can do without, in words.
   * Throws `LogRefused`, which names each missing right and its stream, and `LogUnavailable`.
   */
  async tryRights(): Promise<string[]> {
    const deadline = this.accept();
    const results = await Promise.allSettled([
      this.strongReads.readStream(LOG_STREAM, { limit: 1 }, deadline, this.closing.signal),
      this.fromReads(deadline, (link) => readEnd(link, deadline)),
    ]);
    const refusals = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    const messages = new Set(refusals.flatMap((error) => (error instanceof LogRefused ? [error.message] : [])));
    if (messages.size > 0) throw new LogRefused([...messages].join('; '));
    for (const error of refusals) if (!(error instanceof HistoryMissing)) throw error;
    if (await this.fromReads(deadline, (link) => mayReadMetadata(link, LOG_STREAM, deadline))) return [];
    return [`the account in ${this.urlName} may not read the metadata of streams ($mr), so a deleted stream looks new`];
  }

  /**
   * Appends a fence (a write that proves that the connection reaches the current leader). The `marked` subscriptions
   * receive the fence as their marker.
   */
  async mark(): Promise<void> {
    const deadline = await this.acceptUnlessRestored();
    await deadline.retry(() => this.strongReads.fences.mark(deadline), this.closing.signal);
  }

  async rememberNewest(options?: CallOptions): Promise<void> {
    const deadline = await this.acceptUnlessRestored(options);
    const { era } = this.restoredLog;
    // This read need not be strong, but the strong read comes after it: that one notices a restore which came before.
    const { end, newest } = await this.fromReads(deadline, (link) => lookAtEnd(link, this.lookedTo, deadline));
    const adoptions = await this.missingHistory.reading(ADOPTIONS_STREAM, {}, () =>
      this.strongReads.readStream(ADOPTIONS_STREAM, { isProbablyMissing: true }, deadline, this.closing.signal),
    );
    this.restoredLog.noteAdoptions(adoptions, era);
    this.remember(newest, era);
    if (era === this.restoredLog.era && !this.restoredLog.isOtherLog) this.lookedTo = end ?? -1n;
  }

  findCuts(signal?: AbortSignal): Promise<readonly StreamCut[]> {
    this.accept();
    return this.streamCuts.find(signal);
  }

  watchCuts(observer: OutageObserver): Promise<void> {
    const { missingHistory } = this;
    return this.streamCuts.watch(observer, (cuts, count) => {
      const known = new Map(missingHistory.cuts.map(({ stream, how }) => [stream, how]));
      missingHistory.cuts = cuts;
      missingHistory.cutCount = count;
      for (const { stream, how } of cuts) if (known.get(stream) !== how) this.newlyCut.add(stream);
      void this.lookForEvents();
    });
  }

  close(): Promise<void> {
    this.closing.abort();
    this.closed ??= Promise.allSettled([...this.accepted, ...this.snapshots.underWay]).then(() => {
      const { appends, reads, strongConnection, subscriptions } = this;
      for (const connection of [appends, reads, strongConnection, subscriptions]) connection.close();
    });
    return this.closed;
  }

  /** Makes a read that need not be strong, again and again until the deadline. */
  private fromReads<T>(deadline: Deadline, read: (link: Link) => Promise<T>): Promise<T> {
    return deadline.retry(() => this.reads.use(deadline, read), this.closing.signal);
  }

  /**
   * Finds out, one after the other, whether the first events of the newly cut streams are missing. If so,
   * `missingHistory` knows it from then on. Never rejects: the checks of readiness look again.
   */
  private async lookForEvents(): Promise<void> {
    if (this.isLookingForEvents) return;
    this.isLookingForEvents = true;
    for (const stream of this.newlyCut) {
      this.newlyCut.delete(stream);
      await this.readStream(stream, { limit: 1, consistency: 'strong' }).catch(() => undefined);
    }
    this.isLookingForEvents = false;
  }

  private async appendUnlessSealed(
    stream: string,
    expected: ExpectedRevision,
    newEvents: readonly NewEvent[],
    deadline: Deadline,
  ): Promise<Appended> {
    const { era } = this.restoredLog;
    const { bytes } = serialiseAppend(stream, expected, newEvents);
    if (this.restoredLog.error) await this.requireUsable(deadline);
    this.missingHistory.requireWhole(stream);
    if (stream !== LOG_STREAM) await this.sealCheck.requireUnsealed(deadline);
    const requireSameLog = (link: Link) => this.requireSameLog(link, deadline, era);
    const appended = await this.missingHistory.noting(() =>
      append(this.appends, { stream, expected, newEvents, bytes }, this.credentials, deadline, requireSameLog),
    );
    const last = newEvents.at(-1);
    if (last) this.restoredLog.note({ ...appended, stream, eventId: last.eventId.toLowerCase() }, era);
    const [first] = newEvents;
    if (stream === LOG_STREAM && expected === 'none' && first) {
      this.sameLog.note([{ revision: 0n, eventId: first.eventId.toLowerCase() }]);
    }
    return appended;
  }

  /** Remembers an event that a read has found which began in this era. */
  private remember(event: RecordedEvent | undefined, era: number): void {
    if (event && !event.unreadable) this.restoredLog.note(event, era);
  }

  /**
   * Throws if the link leads to another log than this process knows, or to an older state of it, or if `era` has ended:
   * what was decided before a restore must not be written after it. Throws what `SameLog.require` throws, `LogRestored`.
   */
  private async requireSameLog(link: Link, deadline: Deadline, era: number): Promise<void> {
    if (this.restoredLog.error) throw this.restoredLog.error;
    const readStrongly = () => this.strongReads.readStream(LOG_STREAM, { limit: 1 }, deadline, this.closing.signal);
    await this.sameLog.require(link, deadline, readStrongly);
    this.restoredLog.requireEra(era);
  }

  /** Throws `LogRestored` while the log is restored and not adopted. */
  private requireUsable(deadline: Deadline): Promise<void> {
    const { missingHistory, strongReads } = this;
    const now = strongReads.now(deadline);
    return this.restoredLog.requireUsable(
      {
        ...now,
        readStream: (stream, place = {}) => missingHistory.reading(stream, place, () => now.readStream(stream, place)),
      },
      () => {
        missingHistory.forgetAll();
        strongReads.fences.forgetSettings();
        this.snapshots.forgetSettings();
        this.lookedTo = -1n;
        this.strongConnection.renew();
      },
    );
  }

  /** Throws `LogUnavailable`. */
  private async acceptUnlessRestored(options?: CallOptions): Promise<Deadline> {
    const deadline = this.accept(options);
    if (this.restoredLog.error) await this.requireUsable(deadline);
    return deadline;
  }

  private accept({ deadlineMs = this.deadlineMs }: CallOptions = {}): Deadline {
    if (this.closing.signal.aborted) throw new LogUnavailable('The event log is closed');
    return new Deadline(deadlineMs);
  }
}

/** Returns the event with the highest revision. */
const lastOf = (events: readonly RecordedEvent[]): RecordedEvent | undefined => {
  const [first, last] = [events[0], events.at(-1)];
  return first && last && first.revision > last.revision ? first : last;
};
