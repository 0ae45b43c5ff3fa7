import type { RecordedEvent, Revision } from '#events';
import type { CallOptions } from '../call-options.js';
import { LogUnavailable } from '../errors.js';
import type { EventLog } from '../port.js';
import type { TimeBudget } from '../time-budget.js';
import { type Parts, revisionsOf, withCommands } from './command-index.js';
import type { SnapshotWrites } from './snapshot-writes.js';
import { decodeState, encodeState } from './state-json.js';
import { fromStoredText, toStoredText } from './stored-text.js';
import { type Coverage, type DoneCommand, type HashedState, StreamPast } from './stream-past.js';

/** Number of events after which the next snapshot is written. */
const EVENTS_PER_SNAPSHOT = 500n;

/** The version of the stored form that this file writes and reads. */
const FORMAT = 1;

/** A stored state of a stream. A stored state that does not match in every field is never used. */
interface StoredState {
  readonly format: typeof FORMAT;
  /** See `Aggregate.stateVersion`. */
  readonly stateVersion: number;
  readonly logId: string;
  readonly stream: string;
  readonly revision: string;
  /** The hash of the event at this revision. The hash chain makes this hash stand for all events up to there. */
  readonly hash: string;
  /** The state, in the form of `encodeState`. */
  readonly state: unknown;
}

type StoredSnapshot = StoredState & Pick<Coverage, 'runs' | 'states'>;

/** The facts about a stream from which a snapshot is written. */
interface Snapshotted<State> {
  readonly state: State;
  readonly revision: Revision | undefined;
  readonly lastHash: string;
  readonly past: StreamPast<State>;
}

/** A stored state, and the stream's events from the state's last event on. */
export interface Restored<State> {
  readonly state: State;
  /** The last event in the state. */
  readonly last: RecordedEvent;
  /** The events after `last`, up to the limit of the read. */
  readonly later: readonly RecordedEvent[];
}

export interface SnapshotsOptions {
  readonly log: EventLog;
  readonly logId: string;
  readonly stateVersion: number;
  readonly writes: SnapshotWrites;
}

/**
 * Returns the name under which the snapshots of a stream are stored. Processes of two releases may run side by side. If
 * they have different forms or versions of the state, neither replaces the snapshots of the other.
 */
export const snapshotName = (stream: string, stateVersion: number): string => `v${FORMAT}.${stateVersion}-${stream}`;

/**
 * Stores the states of long streams, so that a long stream need not be read from its beginning.
 *
 * 1. When a stream's state has 500 events that the newest snapshot lacks, a new snapshot is written in the background.
 *    A snapshot is a cache: if a write fails, the next one is tried 500 events later (see `SnapshotWrites`).
 * 2. A snapshot consists of the state, the index of the stream's commands (see `Run`), and a list of earlier states. The
 *    earlier states are needed to answer a repeated command with the state that it left behind.
 * 3. A stored state is used only if it has the right format, checksum, version, log id and stream, and if the log's event
 *    at the state's revision has the stored hash. The read that shows this hash also returns the later events.
 * 4. Several processes may write snapshots of one stream. Each takes over a later snapshot of another process, if this
 *    snapshot is right. If two write at once, both snapshots are right, and the last one stays.
 */
export class Snapshots<State> {
  /** The streams whose snapshots are being written, each with the latest state that came during the write. */
  private readonly writing = new Map<string, Snapshotted<State> | undefined>();
  /** Streams whose stored index is incomplete. Their snapshots are not used before they are written again. */
  private readonly distrusted = new Set<string>();

  constructor(private readonly options: SnapshotsOptions) {}

  /**
   * Returns the state of the newest snapshot, and at most `limit - 1` later events. Returns `undefined` if there is no
   * snapshot, or if it is not right. Throws `LogUnavailable` if the events can't be read.
   */
  async newest(
    stream: string,
    limit: number,
    budget: TimeBudget,
  ): Promise<(Restored<State> & { readonly past: StreamPast<State> }) | undefined> {
    if (this.distrusted.has(stream)) return undefined;
    const stored = await this.stored(stream, budget);
    const restored = stored && (await this.restored(stored, limit, budget.remaining));
    return restored && { ...restored, past: new StreamPast<State>(coverageOf(stored)) };
  }

  /**
   * Returns the latest known state that has no event after `revision`, and the events from this state's last event to
   * `through`. Returns `undefined` if no such state is known. Throws `LogUnavailable` if the events can't be read.
   */
  async earlier(
    stream: string,
    past: StreamPast<State>,
    { revision, through }: { readonly revision: Revision; readonly through: Revision },
    budget: TimeBudget,
  ): Promise<Restored<State> | undefined> {
    // Read only once: it may throw, which must not happen between the starts of two reads.
    const { remaining } = budget;
    const eventsFrom = (from: Revision) => this.read(stream, from, Number(through - from) + 1, remaining);
    const recent = past.recentState(revision);
    if (recent) return restored(this.toStored(stream, recent), await eventsFrom(recent.revision));
    const [at, part] = past.coverage.states.findLast(([from]) => BigInt(from) <= revision) ?? [];
    if (at === undefined || part === undefined) return undefined;
    const text = this.options.log.snapshots.readPart(this.nameOf(stream), part, remaining);
    const [stored, events] = await Promise.all([this.checked(stream, text, budget), eventsFrom(BigInt(at))]);
    return stored && restored(stored, events);
  }

  /**
   * Returns the command with this id, if one of the stream's events up to the newest snapshot carried it out. Throws
   * `IndexIncomplete`, `LogUnavailable`.
   */
  async command(
    stream: string,
    { coverage }: StreamPast<State>,
    commandId: string,
    budget: TimeBudget,
  ): Promise<DoneCommand | undefined> {
    const revisions = await revisionsOf(this.partsOf(stream, budget), coverage.runs, commandId);
    for (const revision of revisions) {
      const [event] = await this.read(stream, revision, 1, budget.remaining);
      if (event?.metadata.commandId === commandId) return { hash: event.metadata.commandHash, revision };
    }
    return undefined;
  }

  /** From now on, the stream's stored snapshot is not used, until a new one is written. */
  distrust(stream: string): void {
    this.distrusted.add(stream);
  }

  /** Begins to write a snapshot of this state, if it is time for one. Does not wait for the end of the write. */
  consider(stream: string, known: Snapshotted<State>): void {
    const { revision, past } = known;
    if (revision === undefined) return;
    past.keepState({ state: known.state, revision, hash: known.lastHash });
    if (revision < past.attemptedAt + EVENTS_PER_SNAPSHOT) return;
    if (this.writing.has(stream)) {
      this.writing.set(stream, known);
      return;
    }
    past.attemptedAt = revision;
    this.writing.set(stream, undefined);
    void this.write(stream, { ...known, revision })
      .catch((error: unknown) => {
        this.options.writes.noteFailure(stream, error);
      })
      .finally(() => {
        const later = this.writing.get(stream);
        this.writing.delete(stream);
        if (later) this.consider(stream, later);
      });
  }

  private async write(stream: string, known: Snapshotted<State> & { revision: Revision }): Promise<void> {
    const { past, revision } = known;
    if (!this.distrusted.has(stream)) await this.takeOver(stream, past);
    if (revision < past.coverage.revision + EVENTS_PER_SNAPSHOT) return;
    const added = past.uncovered(revision);
    const parts = this.partsOf(stream);
    const runs = await withCommands(parts, past.coverage.runs, added.commands);
    const states = [...past.coverage.states];
    for (const kept of added.states) {
      const part = await parts.write([await toStoredText(this.toStored(stream, kept), parts)]);
      states.push([Number(kept.revision), part]);
    }
    const newest = this.toStored(stream, { state: known.state, revision, hash: known.lastHash });
    const snapshot: StoredSnapshot = { ...newest, runs, states };
    await this.options.log.snapshots.write(this.nameOf(stream), await toStoredText(snapshot, parts));
    past.cover({ revision, runs, states });
    this.distrusted.delete(stream);
    this.options.writes.noteSuccess(stream);
  }

  /** Continues from the stored snapshot, if another process has written a later one than we know. */
  private async takeOver(stream: string, past: StreamPast<State>): Promise<void> {
    const stored = await this.stored(stream);
    if (!stored || BigInt(stored.revision) <= past.coverage.revision) return;
    if (await this.restored(stored, 1)) past.cover(coverageOf(stored));
  }

  private async stored(stream: string, budget?: TimeBudget): Promise<StoredSnapshot | undefined> {
    const text = this.options.log.snapshots.read(this.nameOf(stream), budget?.remaining);
    return (await this.checked(stream, text, budget)) as StoredSnapshot | undefined;
  }

  private nameOf(stream: string): string {
    return snapshotName(stream, this.options.stateVersion);
  }

  private partsOf(stream: string, budget?: TimeBudget): Parts {
    const { snapshots } = this.options.log;
    const name = this.nameOf(stream);
    return {
      read: async (number) => {
        try {
          return await snapshots.readPart(name, number, budget?.remaining);
        } catch (error) {
          if (error instanceof LogUnavailable) throw error;
          return undefined;
        }
      },
      write: (parts) => snapshots.writeParts(name, parts),
    };
  }

  private toStored(stream: string, { state, revision, hash }: HashedState<State>): StoredState {
    const { logId, stateVersion } = this.options;
    return {
      format: FORMAT,
      ...{ stateVersion, logId, stream },
      revision: revision.toString(),
      hash,
      state: encodeState(state),
    };
  }

  /**
   * Returns the content of the text. Returns `undefined` if the text can't be read, is damaged, or belongs to another
   * version, log or stream.
   */
  private async checked(
    stream: string,
    text: Promise<string | undefined>,
    budget?: TimeBudget,
  ): Promise<StoredState | undefined> {
    const parts = this.partsOf(stream, budget);
    const stored = (await text.then((read) => fromStoredText(read, parts)).catch(() => undefined)) as
      StoredState | undefined;
    const { logId, stateVersion } = this.options;
    const isOurs = stored?.format === FORMAT && stored.stateVersion === stateVersion && stored.logId === logId;
    return isOurs && stored.stream === stream ? stored : undefined;
  }

  /** Reads the events from the stored state's last event on. Returns `undefined` if this event has another hash. */
  private async restored(
    stored: StoredState,
    limit: number,
    options?: CallOptions,
  ): Promise<Restored<State> | undefined> {
    return restored(stored, await this.read(stored.stream, BigInt(stored.revision), limit, options));
  }

  private read(stream: string, from: Revision, limit: number, options?: CallOptions): Promise<RecordedEvent[]> {
    return this.options.log.readStream(stream, { from, limit, consistency: 'strong', ...options });
  }
}

/** Returns `undefined` if the first event is not the last event of the stored state. */
function restored<State>(stored: StoredState, events: readonly RecordedEvent[]): Restored<State> | undefined {
  const [last, ...later] = events;
  if (last?.revision !== BigInt(stored.revision) || last.metadata.hash !== stored.hash) return undefined;
  return { state: decodeState(stored.state) as State, last, later };
}

const coverageOf = ({ revision, runs, states }: StoredSnapshot): Coverage => ({
  revision: BigInt(revision),
  runs,
  states,
});
