import type { EventLog } from '#event-log';
import type { Position } from '#events';
import { CheckpointMoved, asError } from './errors.js';
import {
  type FollowProgress,
  type OutageObserver,
  applying,
  checkpointOf,
  follow,
  isSameCheckpoint,
} from './log-follower.js';
import type { BuildName, Checkpoint, DocumentWrite, ReadStore, StoredDocument } from './port.js';
import { type FollowedEvent, type Projection, foldInto } from './projection.js';

/** For metrics and readiness. */
export interface ProjectorStatus {
  readonly projection: string;
  readonly build: BuildName;
  /** `stopped`: at an event that it can't apply, or because a rebuild is needed; `error` says which. */
  readonly state: 'catching-up' | 'live' | 'stopped';
  /** Of the last checkpoint stored or read; `undefined` before the first. */
  readonly position: Position | undefined;
  /** An upper bound of the age of what the build lacks: 0 while live, `undefined` before anything is known. */
  readonly lagSeconds: number | undefined;
  readonly error?: Error;
}

/** What a projector reads, and where its documents are. */
export interface ReadModelStores {
  readonly log: EventLog;
  readonly logId: string;
  readonly store: ReadStore;
}

export interface FeedOptions<Doc> extends ReadModelStores {
  readonly projection: Projection<Doc>;
  readonly now: () => Date;
  readonly observer: OutageObserver;
  /**
   * What a process manager does about a batch: after its documents were written, before its checkpoint is stored. May
   * be called again with events that it has seen. Whoever feeds the projection must pass it, or its reactions are lost.
   * Where the signal aborts it may reject with its reason, and is called again at the next start.
   */
  readonly react?: (events: readonly FollowedEvent[], build: BuildName, signal: AbortSignal) => Promise<void>;
  /** Events that are folded at once at most (default 1000). */
  readonly batchSize?: number;
}

export interface ProjectorOptions<Doc> extends FeedOptions<Doc> {
  readonly build: BuildName;
}

/** Feeds one build of one projection from the log. Several may feed the same build at once: they change nothing. */
export class Projector<Doc> {
  private state: ProjectorStatus['state'] = 'catching-up';
  private position: Position | undefined;
  /** The build holds everything up to this moment, in milliseconds. */
  private completeTo: number | undefined;
  private error: Error | undefined;
  private reportCaughtUp: () => void = () => undefined;
  /** Resolves when the build has held everything in the log for the first time. */
  readonly caughtUp = new Promise<void>((resolve) => {
    this.reportCaughtUp = resolve;
  });

  constructor(private readonly options: ProjectorOptions<Doc>) {}

  /** Resolves when the signal aborts; rejects as `follow` does, and then `status` says so too. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, logId, store, projection, build, observer, batchSize } = this.options;
    try {
      await follow({
        name: projection.name,
        ...{ log, logId, signal, ...(batchSize !== undefined && { batchSize }) },
        checkpoints: checkpointOf(store, build),
        prepare: () => {
          this.state = 'catching-up';
          return store.prepare(build, projection);
        },
        apply: (events, checkpoint) => this.apply(events, checkpoint, signal),
        observer: {
          outageBegan: (error) => {
            this.state = 'catching-up';
            observer.outageBegan(error);
          },
          outageEnded: () => {
            observer.outageEnded();
          },
          progressed: (progress) => {
            this.progressed(progress);
          },
        },
      });
    } catch (error) {
      this.state = 'stopped';
      this.error = asError(error);
      throw error;
    }
  }

  status(): ProjectorStatus {
    const { projection, build, now } = this.options;
    const { state, position, completeTo, error } = this;
    const behind = completeTo === undefined ? undefined : Math.max(0, now().getTime() - completeTo) / 1000;
    const lagSeconds = state === 'live' ? 0 : behind;
    return { projection: projection.name, build, state, position, lagSeconds, ...(error && { error }) };
  }

  private progressed({ checkpoint, last, caughtUp }: FollowProgress): void {
    this.state = caughtUp ? 'live' : 'catching-up';
    this.position = checkpoint?.position;
    if (caughtUp) {
      this.completeTo = this.options.now().getTime();
      this.reportCaughtUp();
    } else if (last) {
      this.completeTo = Date.parse(last.metadata.occurredAt);
    }
  }

  /** Writes every document of the batch at once; what another writer was faster with is read and folded again. */
  private async apply(
    events: readonly FollowedEvent[],
    checkpoint: Checkpoint | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, projection, build, react } = this.options;
    let pending = eventsByDocument(projection, events);
    while (pending.size > 0) {
      const stored = await store.read<Doc>(build, [...pending.keys()]);
      // Documents of a store that was just restored lack events that this batch follows on.
      if (!isSameCheckpoint(await store.checkpoint(build), checkpoint)) throw new CheckpointMoved(projection.name);
      const missed = await store.write(build, foldAll(projection, stored, pending));
      pending = new Map(missed.map((id) => [id, pending.get(id) ?? []]));
    }
    await react?.(events, build, signal);
  }
}

type EventsByDocument = ReadonlyMap<string, readonly FollowedEvent[]>;

function eventsByDocument<Doc>(projection: Projection<Doc>, events: readonly FollowedEvent[]): EventsByDocument {
  const byDocument = new Map<string, FollowedEvent[]>();
  for (const event of events) {
    for (const id of applying(projection.name, event, () => projection.documentsOf(event))) {
      const known = byDocument.get(id);
      if (known) known.push(event);
      else byDocument.set(id, [event]);
    }
  }
  return byDocument;
}

/** What is to be written: the documents that the events change, each whole. */
function foldAll<Doc>(
  projection: Projection<Doc>,
  stored: readonly StoredDocument<Doc>[],
  pending: EventsByDocument,
): DocumentWrite[] {
  const before = new Map(stored.map((document) => [document.id, document]));
  const writes: DocumentWrite[] = [];
  for (const [id, events] of pending) {
    let document = before.get(id);
    const expected = document?.position;
    for (const event of events) {
      document = applying(projection.name, event, () => foldInto(projection, document, event, id));
    }
    if (document && document.position !== expected) writes.push({ ...document, expected });
  }
  return writes;
}
