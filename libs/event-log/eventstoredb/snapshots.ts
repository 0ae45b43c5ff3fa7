import { type AppendExpectedRevision, type Credentials, jsonEvent } from '@eventstore/db-client';
import { LRUCache } from 'lru-cache';
import type { CallOptions, SnapshotStore } from '#event-log';
import { keepNewestOnly } from './appends.js';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { asPortError, isMissingStream, isTombstonedStream, isTooLarge, namingRight } from './errors.js';
import { readEach } from './reads.js';
import { SNAPSHOT_PARTS, SNAPSHOTS } from './stream-names.js';

/** Number of streams for which this process remembers that their snapshot stream keeps one event only. */
const REMEMBERED_STREAMS = 10_000;

export interface EventStoreDbSnapshotsOptions {
  readonly reads: Connection;
  readonly appends: Connection;
  readonly credentials: Credentials;
  /** Starts the deadline of a call. Throws `LogUnavailable` if the log is closed. */
  readonly accept: (options?: CallOptions) => Deadline;
  /**
   * Called before each write. Throws if the link leads to another log than the one that the snapshot was made from, or
   * to an older state of it.
   */
  readonly requireSameLog: (link: Link, deadline: Deadline) => Promise<void>;
}

/**
 * Snapshots in streams of their own. Stream `snapshot-<name>` keeps the newest snapshot only (`$maxCount` 1). Stream
 * `snapshotParts-<name>` has one event for each part, and the event's revision is the number of the part. The names of
 * these streams begin with no prefix of our streams, so reads of the log and subscriptions don't return their events.
 */
export class EventStoreDbSnapshots implements SnapshotStore {
  private readonly keepsOne = new LRUCache<string, true>({ max: REMEMBERED_STREAMS });
  /** The writes that have begun and not ended. The log closes its connections after them. */
  readonly underWay = new Set<Promise<unknown>>();

  constructor(private readonly options: EventStoreDbSnapshotsOptions) {}

  /** Sets `$maxCount` of each stream again before its next snapshot, because the log was restored to an older state. */
  forgetSettings(): void {
    this.keepsOne.clear();
  }

  read(name: string, options?: CallOptions): Promise<string | undefined> {
    return this.readOne(newestOf(name), 'end', options);
  }

  async write(name: string, snapshot: string): Promise<void> {
    const { credentials } = this.options;
    await this.send(newestOf(name), async (link, stream, deadline) => {
      const options = { requiresLeader: true, credentials, deadline: deadline.attemptMs };
      if (!this.keepsOne.has(stream)) {
        await keepNewestOnly(link, stream, options);
        this.keepsOne.set(stream, true);
      }
      await link.client.appendToStream(stream, jsonEvent({ type: 'Snapshot', data: { text: snapshot } }), options);
    });
  }

  readPart(name: string, number: number, options?: CallOptions): Promise<string | undefined> {
    return this.readOne(partsOf(name), BigInt(number), options);
  }

  writeParts(name: string, parts: readonly string[]): Promise<number> {
    const { credentials } = this.options;
    return this.send(partsOf(name), async ({ client }, stream, deadline) => {
      /**
       * Appends the parts together. If they are too large for this server, appends them in two halves: the second one
       * only if no other process has appended in between. Returns the number of the last part.
       */
      const append = async (some: readonly string[], expectedRevision: AppendExpectedRevision): Promise<bigint> => {
        const events = some.map((text) => jsonEvent({ type: 'SnapshotPart', data: { text } }));
        const options = { expectedRevision, requiresLeader: true, credentials, deadline: deadline.attemptMs };
        try {
          return (await client.appendToStream(stream, events, options)).nextExpectedRevision;
        } catch (error) {
          if (!isTooLarge(error) || some.length === 1) throw error;
          const middle = Math.ceil(some.length / 2);
          return append(some.slice(middle), await append(some.slice(0, middle), expectedRevision));
        }
      };
      return Number(await append(parts, 'any')) - parts.length + 1;
    });
  }

  /**
   * Makes one attempt. A snapshot is a cache, so a failed write is not repeated. `call` gets the stream's name on the
   * server.
   */
  private send<T>(name: string, call: (link: Link, stream: string, deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = this.options.accept();
    const stream = this.options.appends.names.stored(name);
    const attempt = this.options.appends.use(deadline, async (link) => {
      await this.options.requireSameLog(link, deadline);
      return call(link, stream, deadline);
    });
    this.underWay.add(attempt);
    return attempt
      .catch((error: unknown) => {
        throw asPortError(namingRight(error, '$w', stream, this.options.appends));
      })
      .finally(() => this.underWay.delete(attempt));
  }

  private async readOne(
    stream: string,
    fromRevision: bigint | 'end',
    options?: CallOptions,
  ): Promise<string | undefined> {
    const deadline = this.options.accept(options);
    let text: string | undefined;
    const direction = fromRevision === 'end' ? 'backwards' : 'forwards';
    const attempt = () =>
      this.options.reads.use(deadline, async (link) => {
        const last = { direction, fromRevision, maxCount: 1, requiresLeader: true } as const;
        const read = link.client.readStream(link.names.stored(stream), last);
        await readEach(read, deadline, ({ data, revision }) => {
          // If somebody has cut the stream, the read begins with a later event.
          if (fromRevision === 'end' || revision === fromRevision) text = (data as { readonly text?: string }).text;
          return true;
        }).catch((error: unknown) => {
          if (isMissingStream(error) || isTombstonedStream(error)) return;
          throw namingRight(error, '$r', link.names.stored(stream), link);
        });
      });
    await deadline.retry(attempt);
    return text;
  }
}

const newestOf = (name: string): string => SNAPSHOTS + name;
const partsOf = (name: string): string => SNAPSHOT_PARTS + name;
