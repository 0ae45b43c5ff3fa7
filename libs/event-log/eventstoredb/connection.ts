import type { EventStoreDBClient } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';
import { widenWindow } from './answer-window.js';
import { type ConnectionFailureExplainer, NoConnection } from './connection-failure.js';
import { Deadline } from './deadline.js';
import { asPortError, isTransient } from './errors.js';
import { Semaphore } from './semaphore.js';
import type { StreamNames } from './stream-names.js';
import { refuseCompression } from './uncompressed-answers.js';

/**
 * The server handles 100 calls at a time on one connection. Any further call would wait forever, without an error. So
 * we stay below 100.
 */
const MAX_CALLS = 90;
/** Milliseconds within which the driver must find the leader and connect to the leader. */
const OPEN_MS = 5_000;

/**
 * The part of a gRPC channel that we use. States: 0 is idle, 1 is connecting, 2 is ready; all higher states are
 * failures.
 */
interface Channel {
  getTarget(): string;
  getConnectivityState(connect: boolean): number;
  /** Calls `callback` once, as soon as the channel's state is no longer `state`. */
  watchConnectivityState(state: number, deadline: number, callback: () => void): void;
  close(): void;
}

const READY = 2;

/** The driver reconnects without telling us. Only its gRPC channel shows that a connection was lost. */
// eslint-disable-next-line @typescript-eslint/dot-notation -- the method is protected
const channelOf = (client: EventStoreDBClient): Promise<Channel> => client['getChannel']();

/**
 * One client of the driver on one unbroken connection. After a failure, or when the connection breaks, a link is given
 * up and gets no new calls. Otherwise the driver would silently connect to another node, and the link's fences (writes
 * that prove that the connection reaches the current leader) would prove nothing about that node.
 */
export class Link {
  private calls = 0;
  private readonly lostController = new AbortController();
  /** This signal aborts when the link is given up. */
  readonly lost = this.lostController.signal;
  /**
   * Closes the channel. The driver also closes it, as soon as one call has failed. If another call of ours began then, the
   * driver would throw where nobody catches: the process would end, and the call never. So `close` only gives the link up.
   */
  private readonly closeChannel: () => void;

  private constructor(
    readonly client: EventStoreDBClient,
    /** The names that our streams have on this server. */
    readonly names: StreamNames,
    /** See `EventStoreDbLogOptions`. */
    readonly urlName: string,
    channel: Channel,
  ) {
    this.closeChannel = channel.close.bind(channel);
    channel.close = () => {
      this.giveUp();
    };
    channel.watchConnectivityState(READY, Infinity, () => {
      this.giveUp();
    });
  }

  /** Opens a link to the leader. Throws `LogUnavailable`, and the errors of the driver. */
  static async open(client: EventStoreDBClient, names: StreamNames, urlName: string): Promise<Link> {
    const channel = channelOf(client);
    try {
      return await new Deadline(OPEN_MS).race(
        channel.then(async (opened) => {
          refuseCompression(opened);
          widenWindow(opened);
          await untilReady(opened);
          return new Link(client, names, urlName, opened);
        }),
      );
    } catch (error) {
      channel.then(close, () => undefined);
      throw error;
    }
  }

  begin(): void {
    this.calls += 1;
  }

  end(): void {
    this.calls -= 1;
    this.closeWhenUnused();
  }

  /** Gives the link up. Calls that have begun may finish. The connection is closed after the last of these calls. */
  giveUp(): void {
    if (this.lost.aborted) return;
    this.lostController.abort(new LogUnavailable('The connection to EventStoreDB was lost'));
    this.closeWhenUnused();
  }

  private closeWhenUnused(): void {
    if (this.lost.aborted && this.calls === 0) this.closeChannel();
  }
}

const close = (channel: Channel): void => {
  channel.close();
};

const untilReady = (channel: Channel): Promise<void> =>
  new Promise((resolve, reject) => {
    const look = () => {
      const state = channel.getConnectivityState(false);
      if (state === READY) resolve();
      else if (state > READY) reject(new NoConnection(channel.getTarget()));
      else {
        channel.getConnectivityState(true);
        channel.watchConnectivityState(state, Infinity, look);
      }
    };
    look();
  });

/**
 * Sends all calls of one kind (such as appends) to the server, at most `MAX_CALLS` at a time. All calls use the same
 * link (a client on one unbroken connection). A lost link is replaced at the next call.
 */
export class Connection {
  private readonly permits = new Semaphore(MAX_CALLS);
  private opening: Promise<Link> | undefined;
  private link: Link | undefined;
  /** Why the latest attempt to open a link failed; `undefined` after a success. */
  failure: Error | undefined;
  private isClosed = false;
  /**
   * Number of links (clients on one unbroken connection) that were lost so far. A loss counts from the moment when we
   * notice the loss.
   */
  losses = 0;

  constructor(
    private readonly createClient: () => EventStoreDBClient,
    readonly names: StreamNames,
    /** See `EventStoreDbLogOptions`. */
    readonly urlName: string,
    /** Explains why a link could not be opened. By default, the driver's error has to do. */
    private readonly explain: ConnectionFailureExplainer = (error) => Promise.resolve(asPortError(error)),
  ) {}

  /**
   * Runs a call on the link (a client on one unbroken connection). The call MUST end by the deadline. After a transient
   * error the link is given up, and a later call opens a new link. A call with `isUrgent` is served before all other
   * waiting calls. Throws what `call` throws, and `LogUnavailable`.
   */
  async use<T>(deadline: Deadline, call: (link: Link) => Promise<T>, options?: { isUrgent: boolean }): Promise<T> {
    const lease = await this.lease(deadline, options);
    const { isShort } = deadline;
    try {
      return await call(lease.link);
    } catch (error) {
      // If the caller had little time left, a call that ran out of time does not show that the connection is bad.
      if (isTransient(error) && !(isShort && deadline.isOver)) lease.link.giveUp();
      throw error;
    } finally {
      lease.release();
    }
  }

  /**
   * Returns the link (a client on one unbroken connection), with the permission to make one call on the link. The
   * caller MUST call `release` after the call. Throws `LogUnavailable`.
   */
  async lease(deadline: Deadline, options?: { isUrgent: boolean }): Promise<{ readonly link: Link; release(): void }> {
    if (this.isClosed) throw new LogUnavailable('The event log is closed');
    await this.permits.acquire(deadline, options);
    try {
      const link = this.current ?? (await this.opened(deadline));
      // It may have been lost, and its channel closed, since it was opened.
      link.lost.throwIfAborted();
      link.begin();
      return {
        link,
        release: () => {
          link.end();
          this.permits.release();
        },
      };
    } catch (error) {
      this.permits.release();
      throw error;
    }
  }

  /** Gives the link up, so that the next call opens a new one. */
  renew(): void {
    this.link?.giveUp();
  }

  close(): void {
    this.isClosed = true;
    this.link?.giveUp();
  }

  private get current(): Link | undefined {
    return this.link?.lost.aborted === false ? this.link : undefined;
  }

  /** Waits for a new link until the deadline. Throws why the latest attempt to open one failed, if one has failed. */
  private async opened(deadline: Deadline): Promise<Link> {
    try {
      return await deadline.race(this.open());
    } catch (error) {
      throw this.failure ?? error;
    }
  }

  private open(): Promise<Link> {
    this.opening ??= this.openLink().finally(() => (this.opening = undefined));
    return this.opening;
  }

  private async openLink(): Promise<Link> {
    try {
      const link = await Link.open(this.createClient(), this.names, this.urlName);
      this.failure = undefined;
      this.link = link;
      link.lost.addEventListener('abort', () => (this.losses += 1));
      if (this.isClosed) link.giveUp();
      return link;
    } catch (error) {
      this.failure = await this.explain(error);
      throw this.failure;
    }
  }
}
