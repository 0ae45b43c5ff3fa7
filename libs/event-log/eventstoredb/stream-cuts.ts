import {
  type AllStreamResolvedEvent,
  eventTypeFilter,
  type Filter,
  type Position,
  streamNameFilter,
} from '@eventstore/db-client';
import {
  LogUnavailable,
  MAX_REMEMBERED_STREAMS,
  type OutageObserver,
  repeatUntilAborted,
  type SnapshotStore,
  type StreamCut,
} from '#event-log';
import type { Connection, Link } from './connection.js';
import { Deadline } from './deadline.js';
import { ALL_STREAMS, asPortError, isTransient, namingRight } from './errors.js';
import { CHECKPOINT_INTERVAL, laterOf, RECORDS_PER_CHECKPOINT } from './positions.js';
import { METADATA, type StreamNames } from './stream-names.js';

/** The value of `$tb` (truncate before) in the metadata of a stream that was deleted and may be written to again. */
const DELETED = 2 ** 63;
const TOMBSTONED = 'was tombstoned';

/** Returns how the metadata cut their stream (see `StreamCut.how`); `undefined` if they don't. */
export function howCut(metadata: unknown): string | undefined {
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const { $tb, $maxCount, $maxAge } = metadata as Readonly<Record<string, unknown>>;
  if (typeof $tb === 'number' && $tb >= DELETED) return 'was deleted';
  const settings = Object.entries({ ...($tb !== 0 && { $tb }), $maxCount, $maxAge })
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => (typeof value === 'number' ? `${name} ${value}` : name));
  return settings.length > 0 ? `has ${settings.join(', ')}` : undefined;
}

const TOMBSTONE = '$streamDeleted';

type ServerEvent = NonNullable<AllStreamResolvedEvent['event']>;

/** The metadata in an event, also if they were written as binary data. Returns `undefined` for data that aren't JSON. */
function metadataOf({ isJson, data }: ServerEvent): unknown {
  if (isJson) return data;
  try {
    return JSON.parse(Buffer.from(data).toString());
  } catch {
    return undefined;
  }
}

/** How far each of the two searches has come; `undefined` before it knows a position. */
type SearchedTo = readonly (Position | undefined)[];

/** The streams of ours that are cut, according to the events so far. */
class Cuts {
  /** How often what is known has changed. */
  changes = 0;
  private readonly byStream: Map<string, string>;

  constructor(
    known: readonly StreamCut[] = [],
    /** How far the log was searched. */
    public searchedTo: SearchedTo = [],
  ) {
    this.byStream = new Map(known.map(({ stream, how }) => [stream, how]));
  }

  get count(): number {
    return this.byStream.size;
  }

  /** Returns at most `limit` of the cuts. */
  some(limit: number): StreamCut[] {
    const found: StreamCut[] = [];
    for (const [stream, how] of this.byStream) {
      if (found.length >= limit) break;
      found.push({ stream, how });
    }
    return found;
  }

  /**
   * Adds an event that a search has found. A tombstone is final, whatever the stream's metadata say. Metadata that were
   * written as binary data may cut a stream, but don't take a cut back: servers may read them or not.
   */
  add(names: StreamNames, event: ServerEvent): void {
    const { streamId, type, isJson } = event;
    const isMetadata = streamId.startsWith(METADATA);
    const stream = names.ours(isMetadata ? streamId.slice(METADATA.length) : streamId);
    if (stream === undefined || this.byStream.get(stream) === TOMBSTONED) return;
    const how = isMetadata ? howCut(metadataOf(event)) : type === TOMBSTONE ? TOMBSTONED : undefined;
    if (how === this.byStream.get(stream)) return;
    if (how !== undefined) this.byStream.set(stream, how);
    else if (isMetadata && isJson) this.byStream.delete(stream);
    else return;
    this.changes += 1;
  }
}

type CheckpointOptions = Pick<Filter, 'checkpointInterval' | 'checkpointReached'>;
type FilterOf = (names: StreamNames, options: CheckpointOptions) => Filter;

/** The metadata of our streams. The type of such an event may be anything. */
const ofMetadata: FilterOf = (names, options) => streamNameFilter({ regex: names.metadataPattern(), ...options });

/** The tombstones of all streams, also of other applications. They are in the streams themselves. */
const ofTombstones: FilterOf = (_, options) => eventTypeFilter({ prefixes: [TOMBSTONE], ...options });

/** A subscription to the events of the whole log that pass a filter. */
class Search {
  hasCaughtUp = false;
  failure: Error | undefined;
  private taken: Position | undefined;
  private checkpoint: Position | undefined;
  /** About how many records of the log were searched. */
  records = 0;
  private readonly subscription;
  private readonly unconfirmed;

  /**
   * `notice` is called whenever there is something to take or a checkpoint, and when the subscription has caught up or
   * failed. The subscription fails if the server does not confirm it by the deadline.
   */
  constructor(
    private readonly link: Link,
    filterOf: FilterOf,
    private readonly after: Position | undefined,
    deadline: Deadline,
    notice: () => void,
  ) {
    const filter = filterOf(link.names, {
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: (_, position) => {
        this.checkpoint = position;
        this.records += RECORDS_PER_CHECKPOINT;
        notice();
      },
    });
    const fail = (error: Error) => {
      this.failure ??= error;
      notice();
    };
    this.subscription = link.client
      .subscribeToAll({ fromPosition: after ?? 'start', filter, requiresLeader: true })
      .on('confirmation', () => {
        clearTimeout(this.unconfirmed);
      })
      .on('caughtUp', () => {
        this.hasCaughtUp = true;
        notice();
      })
      .on('readable', notice)
      .on('error', fail)
      .on('end', () => {
        fail(new LogUnavailable('EventStoreDB ended a subscription'));
      });
    this.unconfirmed = setTimeout(() => {
      fail(deadline.exceeded());
    }, deadline.remainingMs);
  }

  get searchedTo(): Position | undefined {
    return laterOf(this.taken ?? this.after, this.checkpoint);
  }

  /** Takes all events that have come. */
  take(cuts: Cuts): void {
    for (;;) {
      const resolved = this.subscription.read() as AllStreamResolvedEvent | null;
      if (resolved === null) return;
      if (!resolved.event) continue;
      cuts.add(this.link.names, resolved.event);
      this.taken = resolved.event.position;
    }
  }

  async end(): Promise<void> {
    clearTimeout(this.unconfirmed);
    await this.subscription.unsubscribe().catch(() => undefined);
    this.subscription.destroy();
  }
}

/**
 * Adds to `cuts` what the log says after `cuts.searchedTo`. Yields about how many records were searched for this: as soon
 * as the log was searched to its end, and then after each change. Ends when the signal aborts. Throws `LogUnavailable`.
 */
async function* search(
  connection: Connection,
  cuts: Cuts,
  { deadlineMs, signal }: { deadlineMs: number; signal: AbortSignal },
): AsyncGenerator<number> {
  const isOver = () => signal.aborted;
  const deadline = new Deadline(deadlineMs);
  const lease = await connection.lease(deadline);
  const { link } = lease;
  let wake = (): void => undefined;
  let changed = Promise.resolve();
  const notice = () => {
    wake();
  };
  const searches: Search[] = [];
  signal.addEventListener('abort', notice);
  try {
    for (const [index, filterOf] of [ofMetadata, ofTombstones].entries()) {
      searches.push(new Search(link, filterOf, cuts.searchedTo[index], deadline, notice));
    }
    for (;;) {
      await changed;
      // From here on, a further change wakes the next round.
      changed = new Promise((resolve) => (wake = resolve));
      if (isOver()) return;
      for (const each of searches) each.take(cuts);
      const [failure] = searches.flatMap((each) => each.failure ?? []);
      if (failure) throw failure;
      cuts.searchedTo = searches.map((each) => each.searchedTo);
      if (!searches.every(({ hasCaughtUp }) => hasCaughtUp)) continue;
      yield Math.max(...searches.map(({ records }) => records));
    }
  } catch (error) {
    if (isTransient(error)) link.giveUp();
    throw asPortError(namingRight(error, '$r', ALL_STREAMS, link));
  } finally {
    signal.removeEventListener('abort', notice);
    void Promise.all(searches.map((each) => each.end())).then(() => {
      lease.release();
    });
  }
}

/** The name under which the notes are stored, next to the snapshots of streams. No snapshot has such a name. */
const NOTES = 'cut-streams';
/** Number of records that may be searched without a new note. About two seconds of the server's time. */
const RECORDS_PER_NOTE = 100_000;

/** What was found when the log had been searched up to these positions. */
interface Notes {
  readonly searchedTo: SearchedTo;
  readonly cuts: readonly StreamCut[];
}

/**
 * The largest number of cuts that notes contain, so that they stay far below the largest append. While more streams are
 * cut, nothing is noted, and a search goes on from an older note. Notes without some of the cuts would be wrong for ever:
 * when such a stream is no longer cut, nobody could tell whether it had been.
 */
const MAX_NOTED = MAX_REMEMBERED_STREAMS;

/** Positions are written as `commit/prepare`, an unknown one as an empty text. */
const toText = ({ searchedTo, cuts }: Notes): string =>
  JSON.stringify({ searchedTo: searchedTo.map((to) => (to ? `${to.commit}/${to.prepare}` : '')), cuts });

/** Returns `undefined` for a text that holds no notes. */
function fromText(text: string | undefined): Notes | undefined {
  try {
    const { searchedTo, cuts } = JSON.parse(text ?? '') as { searchedTo: string[]; cuts: StreamCut[] };
    const positions = searchedTo.map((to) => {
      const [commit = '', prepare = ''] = to.split('/');
      return to === '' ? undefined : { commit: BigInt(commit), prepare: BigInt(prepare) };
    });
    return { searchedTo: positions, cuts };
  } catch {
    return undefined;
  }
}

const isSamePlace = (a: SearchedTo, b: SearchedTo): boolean =>
  a.length === b.length && a.every((position, index) => position?.commit === b[index]?.commit);

export interface StreamCutsOptions {
  readonly connection: Connection;
  /** Stores the notes. They may be lost: then the log is searched from its beginning. */
  readonly snapshots: SnapshotStore;
  readonly deadlineMs: number;
  readonly closing: AbortSignal;
}

/**
 * Finds the streams of ours that are cut: events are hidden by the stream's metadata, and are lost at the next scavenge,
 * or the stream was deleted.
 *
 * 1. The metadata of a stream are events of stream `$$<stream>`, and a tombstone is an event of the stream itself. The
 *    whole log (`$all`) contains both, so one filtered subscription for each finds them. It needs the right to read
 *    `$all`, as all followers of the log do, and no right on the metadata.
 * 2. The latest metadata count. Cuts are reported only when the log was searched to its end. So a cut that was taken
 *    back long ago is not reported.
 * 3. Searching a large log from its beginning takes the server minutes. So the result is noted in the store now and
 *    then, and each search goes on from the latest note. A note belongs to its log: after a restore, it is as old as the
 *    log is.
 */
export class StreamCuts {
  /** Whether the last search from the notes failed before its end. The notes may be the reason. */
  private distrustsNotes = false;

  constructor(private readonly options: StreamCutsOptions) {}

  /**
   * Searches the whole log up to now. A search that was interrupted by a failure goes on where it has ended. Throws
   * `LogUnavailable` if it gets no further until the deadline, and the reason of `signal`.
   */
  async find(signal?: AbortSignal): Promise<StreamCut[]> {
    const { deadlineMs, closing } = this.options;
    const stop = signal ? AbortSignal.any([signal, closing]) : closing;
    const cuts = new Cuts();
    for (;;) {
      const { searchedTo } = cuts;
      try {
        await new Deadline(deadlineMs).retry(() => this.searchToEnd(cuts, stop), stop);
        return cuts.some(Infinity);
      } catch (error) {
        signal?.throwIfAborted();
        if (stop.aborted || isSamePlace(cuts.searchedTo, searchedTo)) throw error;
      }
    }
  }

  /**
   * Searches the log until it is closed. `found` gets the number of all cuts, and at most `MAX_REMEMBERED_STREAMS` of
   * them, at first and whenever they may have changed.
   */
  watch(observer: OutageObserver, found: (cuts: readonly StreamCut[], count: number) => void): Promise<void> {
    const { connection, snapshots, deadlineMs, closing: signal } = this.options;
    const isOutage = (error: unknown) => error instanceof Error;
    const follow = async (recovered: () => void) => {
      const notes = this.distrustsNotes ? undefined : fromText(await snapshots.read(NOTES));
      this.distrustsNotes = notes !== undefined;
      const cuts = new Cuts(notes?.cuts, notes?.searchedTo);
      let noted = { records: 0, changes: cuts.changes };
      let reported: number | undefined;
      for await (const records of search(connection, cuts, { deadlineMs, signal })) {
        this.distrustsNotes = false;
        recovered();
        const { changes, count, searchedTo } = cuts;
        if (changes !== reported) found(cuts.some(MAX_REMEMBERED_STREAMS), count);
        reported = changes;
        const isDue = records >= noted.records + RECORDS_PER_NOTE || changes !== noted.changes;
        if (!isDue || count > MAX_NOTED) continue;
        noted = { records, changes };
        // A note that can't be written costs the next search time, and nothing else.
        await snapshots.write(NOTES, toText({ searchedTo, cuts: cuts.some(MAX_NOTED) })).catch(() => undefined);
      }
    };
    return repeatUntilAborted(signal, observer, follow, { isOutage });
  }

  private async searchToEnd(cuts: Cuts, signal: AbortSignal): Promise<void> {
    for await (const _ of search(this.options.connection, cuts, { ...this.options, signal })) return;
    throw new LogUnavailable('The event log is closed');
  }
}
