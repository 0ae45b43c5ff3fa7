import type { EventStoreDBClient } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';
import { Deadline } from './deadline.js';
import { mayPass, translated } from './errors.js';
import { Slots } from './slots.js';

/** The server takes 100 calls at a time on a connection; those above wait for ever, without a word. */
const MAX_CALLS = 90;
/** Milliseconds to find the leader and connect to it. */
const OPEN_MS = 5_000;

/** What is used of a gRPC channel. Its states: idle 0, connecting 1, ready 2, then those of one that failed. */
interface Channel {
  getTarget(): string;
  getConnectivityState(connect: boolean): number;
  /** Calls back once, when the state is another one. */
  watchConnectivityState(state: number, deadline: number, callback: () => void): void;
  close(): void;
}

const READY = 2;

/** The driver says nothing when it reconnects; its channel does. */
// eslint-disable-next-line @typescript-eslint/dot-notation -- It is protected.
const channelOf = (client: EventStoreDBClient): Promise<Channel> => client['getChannel']();

/**
 * One client of the driver on one unbroken connection. Once anything fails on it, or its connection breaks, it takes no
 * further call: left to itself the driver would go on elsewhere, and no one would know what was said to whom.
 */
export class Link {
  private calls = 0;
  private readonly lostController = new AbortController();
  /** Aborts when the link is given up. */
  readonly lost = this.lostController.signal;

  private constructor(
    readonly client: EventStoreDBClient,
    private readonly channel: Channel,
  ) {
    channel.watchConnectivityState(READY, Infinity, () => {
      this.giveUp();
    });
  }

  /** Throws `LogUnavailable`. */
  static async open(client: EventStoreDBClient): Promise<Link> {
    const channel = channelOf(client);
    try {
      return await new Deadline(OPEN_MS).race(
        channel.then(async (opened) => {
          await untilReady(opened);
          return new Link(client, opened);
        }),
      );
    } catch (error) {
      channel.then(close, () => undefined);
      throw translated(error);
    }
  }

  begin(): void {
    this.calls += 1;
  }

  end(): void {
    this.calls -= 1;
    this.closeWhenUnused();
  }

  /** Calls that are under way go on; the connection is closed after the last of them. */
  giveUp(): void {
    if (this.lost.aborted) return;
    this.lostController.abort(new LogUnavailable('The connection to EventStoreDB was lost'));
    this.closeWhenUnused();
  }

  private closeWhenUnused(): void {
    if (this.lost.aborted && this.calls === 0) close(this.channel);
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
      else if (state > READY) reject(new LogUnavailable(`No connection to EventStoreDB at ${channel.getTarget()}`));
      else {
        channel.getConnectivityState(true);
        channel.watchConnectivityState(state, Infinity, look);
      }
    };
    look();
  });

/** The way of one kind of calls to the server: a bounded number at a time, on one link, which is replaced when lost. */
export class Connection {
  private readonly slots = new Slots(MAX_CALLS);
  private opening: Promise<Link> | undefined;
  private link: Link | undefined;
  private isClosed = false;
  /** Links that were lost, each at the moment that it was noticed. */
  losses = 0;

  constructor(private readonly createClient: () => EventStoreDBClient) {}

  /**
   * `call` must keep the deadline. A failure that may pass loses the link. `isUrgent`: before those who wait. Throws what
   * `call` throws, `LogUnavailable`.
   */
  async use<T>(deadline: Deadline, call: (link: Link) => Promise<T>, options?: { isUrgent: boolean }): Promise<T> {
    const lease = await this.lease(deadline, options);
    const { isShort } = deadline;
    try {
      return await call(lease.link);
    } catch (error) {
      // That a caller had little time says nothing about the link.
      if (mayPass(error) && !(isShort && deadline.isOver)) lease.link.giveUp();
      throw error;
    } finally {
      lease.release();
    }
  }

  /** A place on the link, for as long as the caller likes. Throws `LogUnavailable`. */
  async lease(deadline: Deadline, options?: { isUrgent: boolean }): Promise<{ readonly link: Link; release(): void }> {
    if (this.isClosed) throw new LogUnavailable('The event log is closed');
    await this.slots.take(deadline, options);
    try {
      const link = this.current ?? (await deadline.race(this.open()));
      link.begin();
      return {
        link,
        release: () => {
          link.end();
          this.slots.release();
        },
      };
    } catch (error) {
      this.slots.release();
      throw error;
    }
  }

  close(): void {
    this.isClosed = true;
    this.link?.giveUp();
  }

  private get current(): Link | undefined {
    return this.link?.lost.aborted === false ? this.link : undefined;
  }

  private open(): Promise<Link> {
    this.opening ??= Link.open(this.createClient())
      .then((link) => {
        this.link = link;
        link.lost.addEventListener('abort', () => (this.losses += 1));
        if (this.isClosed) link.giveUp();
        return link;
      })
      .finally(() => (this.opening = undefined));
    return this.opening;
  }
}
