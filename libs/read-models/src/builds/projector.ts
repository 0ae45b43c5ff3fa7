import {
  applying,
  type CatchUpReader,
  type Checkpoint,
  CheckpointMoved,
  type CheckpointStore,
  type EventLog,
  follow,
  type FollowedEvent,
  type FollowObserver,
  type FollowOptions,
  type FollowProgress,
  isNotFinal,
  isSameCheckpoint,
  type LeftOutEvents,
  type OutageObserver,
  ProjectionStopped,
  repeatUntilAborted,
} from '#event-log';
import type { Position, RecordedEvent } from '#events';
import { asError } from '../errors.js';
import type { BuildName, DocumentWrite, ReadStore, StoredDocument } from '../port.js';
import { type Change, changesBy, foldInto, type Projection } from '../projections/projection.js';
import { BuildLoader } from './build-loader.js';
import type { ExpectedDocuments } from './expected-documents.js';
import type { ManageBuild, ManagedBuild } from './process-manager.js';

/** The state of a projector, for metrics and readiness checks. */
export interface ProjectorStatus {
  readonly projection: string;
  readonly build: BuildName;
  /**
   * `stopped`: the projector has met an event that can't be applied, or the build must be rebuilt; `error` tells which.
   */
  readonly state: 'catching-up' | 'live' | 'stopped';
  /** Position of the checkpoint that was last stored or read; `undefined` before the first checkpoint. */
  readonly position: Position | undefined;
  /**
   * Upper limit for the age of the oldest event that the build lacks, in seconds. While the projector is live, the value
   * is 0, or the time for which it has been applying a batch. It is `undefined` as long as nothing is known.
   */
  readonly lagSeconds: number | undefined;
  readonly error?: Error;
}

/** The log from which a projector reads, and the store to which it writes. */
export interface ReadModelStores {
  readonly log: EventLog;
  readonly logId: string;
  readonly store: ReadStore;
}

export interface FeedOptions<Doc> extends ReadModelStores {
  readonly projection: Projection<Doc>;
  readonly now: () => Date;
  readonly observer: OutageObserver;
  /** Maximum number of events in a batch (default 1000). */
  readonly batchSize?: number;
  /** Reads the log for all fresh builds that are filled at the same time. By default, each build reads it by itself. */
  readonly catchUpReader?: CatchUpReader;
}

export interface ProjectorOptions<Doc> extends FeedOptions<Doc> {
  readonly build: BuildName;
  /**
   * Whether no query reads the build yet (default: no). Such a build is filled by a `BuildLoader` until it has caught
   * up. Only then does the build have lists, and only then does a process manager begin its work.
   */
  readonly isFresh?: boolean;
  /** Whether anybody reads lists of the build (default: yes). If not, nothing is created that only lists need. */
  readonly hasLists?: boolean;
  /** Gets every batch that this projector has written, so that the build can be checked afterwards. */
  readonly expected?: ExpectedDocuments<Doc>;
  /** Begins the work of the process manager that uses this projection. */
  readonly manage?: ManageBuild;
}

/** What differs between filling a fresh build and feeding a build. */
type LoopOptions = Pick<FollowOptions, 'signal' | 'source' | 'checkpoints' | 'prepare' | 'apply'> &
  Pick<FollowObserver, 'progressed'>;

/**
 * Gives a follower (a loop that reads the log from its checkpoint) access to a build's checkpoint in the read store.
 */
export const checkpointOf = (store: ReadStore, build: BuildName): CheckpointStore => ({
  read: () => store.checkpoint(build),
  advance: (expected, next) => store.advance(build, expected, next),
});

/**
 * Feeds one build of one projection from the log. Several projectors may feed the same build at once. The result is the
 * same, because every projector folds the same events, and every document and checkpoint is written by compare-and-set.
 */
export class Projector<Doc> {
  private state: ProjectorStatus['state'] = 'catching-up';
  private position: Position | undefined;
  /** Time up to which the build holds every event, in ms since 1970. */
  private completeTo: number | undefined;
  /** When the batch came that is being applied, in ms since 1970; `undefined` if none is being applied. */
  private applyingSince: number | undefined;
  private error: Error | undefined;
  private managed: ManagedBuild | undefined;
  /** Whether events may have been applied since the last call of `ManagedBuild.caughtUp` that `managed` does not know. */
  private wasInterrupted = true;
  private reportCaughtUp: () => void = () => undefined;
  /** Resolves as soon as the build holds every event of the log for the first time. */
  readonly caughtUp = new Promise<void>((resolve) => {
    this.reportCaughtUp = resolve;
  });

  constructor(private readonly options: ProjectorOptions<Doc>) {}

  /**
   * Resolves when the signal aborts. Rejects with the errors of `follow`; after that, `status` returns the state
   * `stopped`.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { store, build, manage, isFresh = false } = this.options;
    const session = new AbortController();
    this.managed = manage?.(build, AbortSignal.any([signal, session.signal]));
    try {
      if (isFresh) await this.load(signal);
      await this.follow({
        signal,
        checkpoints: checkpointOf(store, build),
        prepare: () => {
          this.state = 'catching-up';
          this.applyingSince = undefined;
          this.wasInterrupted = true;
          return this.prepare();
        },
        apply: (...batch) => this.apply(...batch),
        progressed: (progress) => {
          this.progressed(progress);
        },
      });
    } catch (error) {
      this.state = 'stopped';
      this.error = asError(error);
      throw error;
    } finally {
      session.abort();
      await this.managed?.ended;
    }
  }

  /**
   * Fills a fresh build up to the log's end, then creates everything that lists need. If an event can't be applied,
   * everything before that event is stored, as for other builds.
   */
  private async load(signal: AbortSignal): Promise<void> {
    const { store, projection, build, expected, catchUpReader } = this.options;
    const done = new AbortController();
    const loadOnce = async (recovered: () => void) => {
      const loader = new BuildLoader(store, projection, build);
      const atEnd = new AbortController();
      try {
        await this.follow({
          signal: AbortSignal.any([signal, atEnd.signal]),
          ...(catchUpReader && { source: catchUpReader }),
          checkpoints: loader,
          prepare: () => loader.begin(),
          apply: async (events, checkpoint, leftOut) => {
            await loader.apply(events, leftOut);
            expected?.batchWritten(leftOut.without(events), checkpoint);
          },
          progressed: ({ checkpoint, last, caughtUp }) => {
            expected?.checkpointStored(checkpoint);
            this.position = loader.storedPosition;
            this.completeTo = timeOf(last) ?? this.completeTo;
            if (caughtUp) atEnd.abort();
          },
        });
        if (signal.aborted) return;
        await loader.finish();
        await this.prepare(signal);
        recovered();
        done.abort();
      } catch (error) {
        if (error instanceof ProjectionStopped) await loader.finish();
        if (!(error instanceof CheckpointMoved)) throw error;
      } finally {
        await loader.end();
      }
    };
    await repeatUntilAborted(AbortSignal.any([signal, done.signal]), this.outages, loadOnce, { isOutage: isNotFinal });
  }

  private prepare(signal?: AbortSignal): Promise<void> {
    const { store, projection, build, hasLists = true } = this.options;
    return hasLists ? store.prepare(build, projection, signal) : store.prepareToLoad(build, projection);
  }

  private follow({ progressed, ...options }: LoopOptions): Promise<void> {
    const { log, logId, projection, batchSize } = this.options;
    return follow({
      name: projection.name,
      streams: projection.streams,
      ...(projection.isNumbered && { isNumbered: projection.isNumbered }),
      ...{ log, logId, ...(batchSize !== undefined && { batchSize }) },
      ...options,
      observer: { ...this.outages, progressed },
    });
  }

  /** Reports outages, and shows them in the state. */
  private get outages(): OutageObserver {
    const { observer } = this.options;
    return {
      outageBegan: (error) => {
        this.state = 'catching-up';
        observer.outageBegan(error);
      },
      outageEnded: () => {
        observer.outageEnded();
      },
    };
  }

  status(): ProjectorStatus {
    const { projection, build } = this.options;
    const { state, position, error } = this;
    const now = this.options.now().getTime();
    const completeTo = state === 'live' ? (this.applyingSince ?? now) : this.completeTo;
    const lagSeconds = completeTo === undefined ? undefined : Math.max(0, now - completeTo) / 1000;
    return { projection: projection.name, build, state, position, lagSeconds, ...(error && { error }) };
  }

  private progressed({ checkpoint, last, caughtUp }: FollowProgress): void {
    this.state = caughtUp ? 'live' : 'catching-up';
    this.applyingSince = undefined;
    this.position = checkpoint?.position;
    this.options.expected?.checkpointStored(checkpoint);
    if (caughtUp) {
      this.completeTo = this.options.now().getTime();
      this.reportCaughtUp();
      if (this.wasInterrupted) this.managed?.caughtUp();
      this.wasInterrupted = false;
    } else {
      this.completeTo = timeOf(last) ?? this.completeTo;
    }
  }

  /**
   * Writes all documents of the batch at once. Documents that another projector has changed meanwhile are read and
   * folded again.
   */
  private async apply(
    events: readonly FollowedEvent[],
    checkpoint: Checkpoint | undefined,
    leftOut: LeftOutEvents,
  ): Promise<void> {
    const { store, projection, build, expected, now } = this.options;
    this.applyingSince = now().getTime();
    const changes = changesBy(projection, events, leftOut);
    let pending = new Set(changes.flatMap(({ ids }) => ids));
    while (pending.size > 0) {
      const stored = await store.read<Doc>(build, [...pending]);
      // If the store was just restored from a backup, its documents may lack events from before this batch. The
      // checkpoint was restored together with the documents, so a changed checkpoint shows this.
      if (!isSameCheckpoint(await store.checkpoint(build), checkpoint)) throw new CheckpointMoved(projection.name);
      const writes = foldAll(projection, stored, { changes, ids: pending }, leftOut);
      pending = new Set(await store.write(build, writes));
    }
    const applied = leftOut.without(events);
    this.managed?.written(applied);
    expected?.batchWritten(applied, checkpoint);
  }
}

/** The time of the event in ms since 1970; `undefined` if there is no event or its time can't be read. */
function timeOf(event: RecordedEvent | undefined): number | undefined {
  if (!event || event.unreadable) return undefined;
  // An event that another program has written may have no time, or none that is valid.
  const time = Date.parse(event.metadata.occurredAt);
  return Number.isNaN(time) ? undefined : time;
}

/** Returns the documents of `ids` that the events change, in their full new state. */
function foldAll<Doc>(
  projection: Projection<Doc>,
  stored: readonly StoredDocument<Doc>[],
  { changes, ids: wanted }: { readonly changes: readonly Change[]; readonly ids: ReadonlySet<string> },
  leftOut: LeftOutEvents,
): DocumentWrite[] {
  const before = new Map(stored.map((document) => [document.id, document]));
  const after = new Map(before);
  for (const { event, ids } of changes) {
    if (leftOut.has(event)) continue;
    const fold = () =>
      ids.filter((id) => wanted.has(id)).map((id) => [id, foldInto(projection, after.get(id), event, id)] as const);
    // An event that changes several documents changes all of them or none.
    for (const [id, document] of applying(projection.name, event, fold, leftOut) ?? []) {
      if (document) after.set(id, document);
    }
  }
  return [...after.values()].flatMap((document) => {
    const expected = before.get(document.id)?.position;
    return document.position === expected ? [] : [{ ...document, expected }];
  });
}
