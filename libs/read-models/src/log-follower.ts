import { setTimeout as delay } from 'node:timers/promises';
import { type EventLog, type LogBatch, LogUnavailable, readLogId } from '#event-log';
import type { RecordedEvent } from '#events';
import { CheckpointMoved, ProjectionStopped, RebuildNeeded } from './errors.js';
import { type BuildName, type Checkpoint, type ReadStore, ReadStoreUnavailable } from './port.js';
import { type FollowedEvent, followed } from './projection.js';

/** Where a reader of the log keeps how far it has come: beside its effects. */
export interface CheckpointStore {
  read(): Promise<Checkpoint | undefined>;
  /** Compare-and-set; `false` when the stored checkpoint is not `expected` any more. */
  advance(expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean>;
}

/** The checkpoint that a read store keeps for a build. */
export const checkpointOf = (store: ReadStore, build: BuildName): CheckpointStore => ({
  read: () => store.checkpoint(build),
  advance: (expected, next) => store.advance(build, expected, next),
});

export const isSameCheckpoint = (a: Checkpoint | undefined, b: Checkpoint | undefined): boolean =>
  a?.logId === b?.logId && a?.position === b?.position && a?.eventId === b?.eventId;

/** Learns when the log or the store can't be reached: once when it begins, once when it is over. */
export interface OutageObserver {
  outageBegan(error: Error): void;
  outageEnded(): void;
}

/** Called after each batch, and once when the reader begins at the log's end. */
export interface FollowProgress {
  readonly checkpoint: Checkpoint | undefined;
  /** The last event of the batch; `undefined` when it was empty. */
  readonly last: RecordedEvent | undefined;
  /** Nothing was left to read when the batch was made. */
  readonly caughtUp: boolean;
}

export interface FollowObserver extends OutageObserver {
  progressed(progress: FollowProgress): void;
}

export interface FollowOptions {
  /** The reader's name in errors. */
  readonly name: string;
  readonly log: EventLog;
  readonly logId: string;
  readonly checkpoints: CheckpointStore;
  /**
   * Carries out the effects of the batch that follows on `checkpoint`, in order, before the next one is stored; may be
   * called again with events that it has seen. Use `applying` around each event, so that an error says which one it
   * was; throw `CheckpointMoved` when the stored checkpoint is another one.
   */
  readonly apply: (events: readonly FollowedEvent[], checkpoint: Checkpoint | undefined) => Promise<void>;
  /** Makes ready what the effects need: before the checkpoint is read, at the start and after every reconnect. */
  readonly prepare?: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly observer: FollowObserver;
  /** Events that are applied at once at most (default 1000). */
  readonly batchSize?: number;
  /** Milliseconds of silence after which the stored checkpoint is looked at (default 1000). */
  readonly idleCheckMs?: number;
  /** Least milliseconds between two batches at the log's end, in which the second one gathers (default 20). */
  readonly gatherMs?: number;
}

/**
 * The one loop by which everything reads the log: apply a batch, then store its checkpoint. Resolves when the signal
 * aborts. What may pass (`LogUnavailable`, `ReadStoreUnavailable`) is retried; it rejects with
 * `ProjectionStopped` at an event that can't be applied, and with `RebuildNeeded` when the checkpoint is not of this log.
 */
export const follow = (options: FollowOptions): Promise<void> =>
  untilAborted(options.signal, options.observer, async (recovered) => {
    try {
      await followFromCheckpoint(options, recovered);
    } catch (error) {
      if (!(error instanceof CheckpointMoved)) throw error;
    }
  });

/** Runs `step` for one event; what it throws becomes a `ProjectionStopped` that says which event it was. */
export function applying<T>(name: string, event: RecordedEvent | FollowedEvent, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new ProjectionStopped(name, event, error);
  }
}

const FIRST_PAUSE_MS = 50;
const LONGEST_GATHERING_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Does `work` again and again until the signal aborts: at once when it ended well, after a growing pause when it failed
 * in a way that may pass. `work` says when it got through. Rejects with every other error.
 */
export async function untilAborted(
  signal: AbortSignal,
  observer: OutageObserver,
  work: (recovered: () => void) => Promise<void>,
): Promise<void> {
  let failures = 0;
  const recovered = () => {
    if (failures > 0) observer.outageEnded();
    failures = 0;
  };
  const isOver = () => signal.aborted;
  while (!isOver()) {
    try {
      await work(recovered);
    } catch (error) {
      if (isOver()) return;
      if (!mayPass(error)) throw error;
      if (failures === 0) observer.outageBegan(error);
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS), signal);
      failures += 1;
    }
  }
}

/** Whether the log or the store may answer again later. */
export const mayPass = (error: unknown): error is LogUnavailable | ReadStoreUnavailable =>
  error instanceof LogUnavailable || error instanceof ReadStoreUnavailable;

/** Ends early, without an error, when the signal aborts. */
export const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  delay(milliseconds, undefined, { signal }).catch(() => undefined);

/** Throws `CheckpointMoved` when others moved the checkpoint, or a restored store has an older one. */
async function followFromCheckpoint(options: FollowOptions, recovered: () => void): Promise<void> {
  const { name, log, logId, checkpoints, apply, observer } = options;
  const { batchSize = 1000, idleCheckMs = 1000, gatherMs = 20 } = options;
  await options.prepare?.();
  let checkpoint = await checkpoints.read();
  await verifyCheckpoint(name, log, logId, checkpoint);
  const session = new AbortController();
  const signal = AbortSignal.any([options.signal, session.signal]);
  const after = checkpoint && { after: checkpoint.position };
  const batches = log.subscribe({ ...after, signal, batchSize })[Symbol.asyncIterator]();
  try {
    let next = batches.next();
    for (;;) {
      while (!(await settledWithin(next, idleCheckMs))) {
        if (!isSameCheckpoint(await checkpoints.read(), checkpoint)) throw new CheckpointMoved(name);
      }
      const result = await next;
      if (result.done === true) return;
      const batch = result.value;
      const begunAt = performance.now();
      // Read while this batch is applied; should it fail, that is met when its turn comes.
      if (!batch.caughtUp) next = prefetched(batches);
      const follows = checkpoint;
      const { applied, stoppedBy } = await applyInOrder(name, batch.events, (events) => apply(events, follows));
      const last = applied.at(-1);
      if (last) {
        const reached = { logId, position: last.position, eventId: last.eventId };
        if (!(await checkpoints.advance(checkpoint, reached))) throw new CheckpointMoved(name);
        checkpoint = reached;
      }
      if (stoppedBy) throw stoppedBy;
      recovered();
      observer.progressed({ checkpoint, last, caughtUp: batch.caughtUp });
      if (batch.caughtUp) {
        // Behind every append alone a batch would cost nearly as much as fifty: they gather as long as one takes.
        const took = performance.now() - begunAt;
        await pause(Math.min(Math.max(took, gatherMs), LONGEST_GATHERING_MS), signal);
        next = batches.next();
      }
    }
  } finally {
    session.abort();
    await batches.return?.();
  }
}

const prefetched = (batches: AsyncIterator<LogBatch>): Promise<IteratorResult<LogBatch>> => {
  const next = batches.next();
  next.catch(() => undefined);
  return next;
};

/** Applies the batch, or all of it that comes before the first event that can't be applied. */
async function applyInOrder(
  name: string,
  events: readonly RecordedEvent[],
  apply: (events: readonly FollowedEvent[]) => Promise<void>,
): Promise<{ applied: readonly RecordedEvent[]; stoppedBy?: ProjectionStopped }> {
  if (events.length === 0) return { applied: events };
  try {
    await apply(events.map((event) => applying(name, event, () => followed(event))));
    return { applied: events };
  } catch (error) {
    if (!(error instanceof ProjectionStopped)) throw error;
    const before = events.filter(({ position }) => position < error.position);
    return { stoppedBy: error, ...(await applyInOrder(name, before, apply)) };
  }
}

/** Whether the promise settled, either way, before the time was over. */
export async function settledWithin(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => true,
      ),
      delay(milliseconds, false, { signal: timer.signal }),
    ]);
  } finally {
    timer.abort();
  }
}

/** A checkpoint must be of this log, and its event where it says. Throws `RebuildNeeded`, `LogUnavailable`. */
export async function verifyCheckpoint(
  name: string,
  log: EventLog,
  logId: string,
  checkpoint: Checkpoint | undefined,
): Promise<void> {
  const actual = await readLogId(log);
  if (actual !== logId) throw new RebuildNeeded(name, `log ${logId} was exchanged for ${actual ?? 'an empty one'}`);
  if (!checkpoint) return;
  if (checkpoint.logId !== logId) {
    throw new RebuildNeeded(name, `its checkpoint is of log ${checkpoint.logId}, this is log ${logId}`);
  }
  const { position, eventId } = checkpoint;
  const found = await log.eventAt(position);
  if (found?.eventId === eventId) return;
  const end = await log.end();
  throw new RebuildNeeded(
    name,
    end === undefined || end < position
      ? `its checkpoint ${position} is past the end of the log`
      : `another event is at ${position} of the log than its checkpoint says`,
  );
}
