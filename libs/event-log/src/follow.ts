import type { Position, RecordedEvent } from '#events';
import { CheckpointMoved, ProjectionStopped, RebuildNeeded } from './errors.js';
import { type EventSelection, followed, type FollowedEvent, isSelected } from './event-selection.js';
import { applying, LeftOutEvents } from './left-out-events.js';
import { readLogId } from './log-id.js';
import type { EventLog, LogBatch } from './port.js';
import { type OutageObserver, pause, repeatUntilAborted, settledWithin } from './retry.js';
import { canHoldCheckpoint } from './streams.js';

/**
 * How far a follower (a loop that reads the log) has come: the position and id of the last event that the follower has
 * applied, and the id of the log that contains this event.
 */
export interface Checkpoint {
  readonly logId: string;
  readonly position: Position;
  readonly eventId: string;
  /** The ordinal of the next numbered event, if the follower numbers events. */
  readonly nextOrdinal?: number;
}

/**
 * Stores the checkpoint of a follower. The checkpoint MUST lie in the same store as the follower's effects, so that a
 * restore brings back both in the same state.
 */
export interface CheckpointStore {
  read(): Promise<Checkpoint | undefined>;
  /**
   * Replaces the stored checkpoint by `next`. Returns `false`, and stores nothing, if the stored checkpoint is not
   * `expected`.
   */
  advance(expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean>;
}

export const isSameCheckpoint = (a: Checkpoint | undefined, b: Checkpoint | undefined): boolean =>
  a?.logId === b?.logId && a?.position === b?.position && a?.eventId === b?.eventId;

/**
 * What a follower (a loop that reads the log) reports after each batch. A follower that begins at the log's end gets an
 * empty batch first, and reports this batch, too.
 */
export interface FollowProgress {
  readonly checkpoint: Checkpoint | undefined;
  /** The last event of the batch; `undefined` if the batch was empty. */
  readonly last: RecordedEvent | undefined;
  /** Whether the batch reached the end of the log. */
  readonly caughtUp: boolean;
}

export interface FollowObserver extends OutageObserver {
  progressed(progress: FollowProgress): void;
}

export interface FollowOptions extends EventSelection {
  /** The follower's name. Error messages contain this name. */
  readonly name: string;
  readonly log: EventLog;
  readonly logId: string;
  /** Delivers the log's events (default: `log`). */
  readonly source?: Pick<EventLog, 'subscribe'>;
  readonly checkpoints: CheckpointStore;
  /**
   * Carries out the effects of the events after `checkpoint`, in order; `[]` if all events were skipped. A second call
   * with the same events MUST have no further effect. `apply` MUST handle each event inside `applying`, so that an error
   * names the event. `apply` MAY throw `CheckpointMoved` if the stored checkpoint is not `checkpoint`. Where `leftOut` is
   * given to `applying`, the events that it leaves out are skipped together; otherwise `apply` is called once for each.
   */
  readonly apply: (
    events: readonly FollowedEvent[],
    checkpoint: Checkpoint | undefined,
    leftOut: LeftOutEvents,
  ) => Promise<void>;
  /**
   * Prepares what the effects need. The loop calls `prepare` at the start and after every reconnect, before the loop
   * reads the checkpoint.
   */
  readonly prepare?: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly observer: FollowObserver;
  /** The largest number of events that are applied at once (default 1000). */
  readonly batchSize?: number;
  /**
   * If no batch comes for this many milliseconds, the loop checks that the stored checkpoint is still the one that the
   * loop knows (default 1000).
   */
  readonly idleCheckMs?: number;
  /**
   * When the loop has reached the log's end, it pauses at least this many milliseconds before it asks for the next
   * batch (default 20). Events gather during the pause.
   */
  readonly gatherMs?: number;
}

/**
 * Follows the log from a stored checkpoint. All projections and the process manager use this loop.
 *
 * 1. Read the checkpoint, and verify that the checkpoint is a place in this log. If the verification fails, only a
 *    rebuild of the projection helps.
 * 2. Subscribe to the events after the checkpoint.
 * 3. Apply a batch, then store the batch's checkpoint. If the process crashes between the two, the batch is applied
 *    again. This second time changes nothing.
 * 4. Whenever we store a checkpoint, and after `idleCheckMs` without a batch: compare the stored checkpoint with the
 *    checkpoint that we stored last. If they differ, another follower has stored a checkpoint, or the store was
 *    restored. Continue with step 1.
 * 5. If the log or the store refuses a call for any reason, pause, then continue with step 1.
 * 6. If an event can't be applied, and its stream is quarantined now, leave this event out and go on. If its stream is
 *    not quarantined, apply the events before this event, store the checkpoint, and stop.
 *
 * Resolves when the signal aborts. Rejects with `RebuildNeeded` in step 1, and with `ProjectionStopped` in step 6.
 */
export const follow = (options: FollowOptions): Promise<void> =>
  repeatUntilAborted(
    options.signal,
    options.observer,
    async (recovered) => {
      try {
        await followFromCheckpoint(options, recovered);
      } catch (error) {
        if (!(error instanceof CheckpointMoved)) throw error;
      }
    },
    { isOutage: isNotFinal },
  );

/**
 * Returns whether a follower tries again after this error. Only two errors end a follower for good: an event that can't
 * be applied, and a checkpoint that is not a place in this log. A list of the errors that pass would always be
 * incomplete, because stores refuse calls for many reasons that an operator can remove.
 */
export const isNotFinal = (error: unknown): error is Error =>
  error instanceof Error && !(error instanceof ProjectionStopped) && !(error instanceof RebuildNeeded);

const LONGEST_GATHERING_MS = 250;

/** Carries out steps 1 to 4 of `follow`. Throws `CheckpointMoved` if `follow` has to continue with step 1. */
async function followFromCheckpoint(options: FollowOptions, recovered: () => void): Promise<void> {
  const { name, log, logId, source = log, checkpoints, apply, observer, isNumbered } = options;
  const { batchSize = 1000, idleCheckMs = 1000, gatherMs = 20 } = options;
  await options.prepare?.();
  let checkpoint = await checkpoints.read();
  await verifyCheckpoint(name, log, logId, checkpoint);
  let ordinal = checkpoint?.nextOrdinal ?? 0;
  const numberedIn = (events: readonly RecordedEvent[]) => (isNumbered ? events.filter(isNumbered).length : 0);
  const session = new AbortController();
  const signal = AbortSignal.any([options.signal, session.signal]);
  const after = checkpoint && { after: checkpoint.position };
  const batches = source.subscribe({ ...after, signal, batchSize })[Symbol.asyncIterator]();
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
      // The next batch is fetched while this batch is applied. If the fetch fails, the loop gets the error when the
      // loop awaits the next batch.
      if (!batch.caughtUp) next = prefetched(batches);
      const follows = checkpoint;
      const { applied, stoppedBy } = await applyInOrder(options, { events: batch.events, ordinal }, (events, leftOut) =>
        apply(events, follows, leftOut),
      );
      const last = applied.findLast(({ stream }) => canHoldCheckpoint(stream));
      if (last) {
        const { position, eventId } = last;
        const before = applied.filter((event) => event.position <= position);
        const nextOrdinal = isNumbered && ordinal + numberedIn(before);
        const reached = { logId, position, eventId, ...(nextOrdinal !== undefined && { nextOrdinal }) };
        if (!(await checkpoints.advance(checkpoint, reached))) throw new CheckpointMoved(name);
        checkpoint = reached;
      }
      ordinal += numberedIn(applied);
      if (stoppedBy) throw stoppedBy;
      recovered();
      observer.progressed({ checkpoint, last: applied.at(-1), caughtUp: batch.caughtUp });
      if (batch.caughtUp) {
        // A batch of one event costs nearly as much as a batch of fifty. So we let events gather for about as long as
        // this batch took.
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

/**
 * Whether a follower that an event has stopped can go on: the event's stream is quarantined now, or the store can read
 * the event again. Throws `LogUnavailable`.
 */
export const canGoOn = async (log: EventLog, stoppedBy: ProjectionStopped): Promise<boolean> => {
  if (await new LeftOutEvents(log).lookUp(stoppedBy)) return true;
  if (!stoppedBy.isUnreadable) return false;
  const event = await log.eventAt(stoppedBy.position);
  return event !== undefined && !event.unreadable;
};

/**
 * Applies the batch's events of the follower's streams. Events that can't be applied are left out if their streams are
 * quarantined. This is found out at the first such event of each stream, and the batch is applied again without all of
 * them, so that their number does not matter. Only the events before the first other one that can't be applied are
 * applied.
 */
async function applyInOrder(
  options: Pick<FollowOptions, 'name' | 'streams' | 'isNumbered' | 'log'>,
  { events, ordinal }: { readonly events: readonly RecordedEvent[]; readonly ordinal: number },
  apply: (events: readonly FollowedEvent[], leftOut: LeftOutEvents) => Promise<void>,
): Promise<{ applied: readonly RecordedEvent[]; stoppedBy?: ProjectionStopped }> {
  const { name, isNumbered, log } = options;
  let ours: readonly RecordedEvent[] = events.filter((event) => isSelected(options, event));
  let applied = events;
  let stoppedBy: ProjectionStopped | undefined;
  const leftOut = new LeftOutEvents(log);
  while (applied.length > 0) {
    try {
      await apply(
        ours.flatMap(
          (event, index) => applying(name, event, () => followed(event, isNumbered && ordinal + index), leftOut) ?? [],
        ),
        leftOut,
      );
      break;
    } catch (error) {
      if (!(error instanceof ProjectionStopped)) throw error;
      const { position } = error;
      if (!isNumbered && (leftOut.note(error) || (await leftOut.lookUp(error)))) {
        ours = leftOut.without(ours);
      } else {
        const isBefore = (event: RecordedEvent) => event.position < position;
        ours = ours.filter(isBefore);
        applied = applied.filter(isBefore);
        stoppedBy = error;
      }
    }
  }
  return { applied, ...(stoppedBy && { stoppedBy }) };
}

/**
 * Checks that the checkpoint belongs to this log, and that the checkpoint's event is still at its position. After a
 * restore of the log to an older state, the event is no longer at its position. Throws `RebuildNeeded`,
 * `LogUnavailable`.
 */
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
