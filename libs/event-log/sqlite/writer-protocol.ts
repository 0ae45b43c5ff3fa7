import type { ExpectedRevision, SerialisedEvent } from '#event-log';
import type { Revision } from '#events';

/** The `workerData` that the writer's thread gets. */
export interface WriterThreadOptions {
  readonly file: string;
  /** How long the thread waits for another process's transaction to end, in milliseconds. */
  readonly busyMs: number;
}

export interface AppendRequest {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly events: readonly SerialisedEvent[];
}

export type AppendOutcome =
  | { readonly kind: 'written' | 'repeated'; readonly revision: Revision; readonly position: bigint }
  | { readonly kind: 'conflict'; readonly actual: Revision | undefined }
  | { readonly kind: 'sealed' }
  /** This append failed by itself. Nothing of it was written. */
  | { readonly kind: 'failed'; readonly reason: string };

/** A change of the snapshots of one name: a new snapshot, or parts that are added. */
export interface SnapshotWrite {
  readonly name: string;
  readonly snapshot?: string;
  readonly parts: readonly string[];
}

/** The place of an event in the log, and the time that its writer's clock showed, in ms since 1970. */
export interface EventTime {
  readonly position: bigint;
  readonly time: number;
}

export type ToWriterThread =
  | { readonly kind: 'group'; readonly appends: readonly AppendRequest[] }
  | { readonly kind: 'snapshot'; readonly write: SnapshotWrite }
  /** Asks whether an append could be written now. `isThorough`: by writing a page. */
  | { readonly kind: 'probe'; readonly isThorough: boolean }
  /** Tells the thread to checkpoint the file, to close the file, and then to end. */
  | { readonly kind: 'close' };

export type FromWriterThread =
  | { readonly kind: 'opened'; readonly eventTimes: readonly EventTime[] }
  /** The file is not an event log of this application. */
  | { readonly kind: 'refused'; readonly reason: string }
  /**
   * The group is synced to disk. `outcomes` has one outcome for each append, in the same order. `eventTimes` are the
   * times of the events that other processes have written before it.
   */
  | {
      readonly kind: 'committed';
      readonly outcomes: readonly AppendOutcome[];
      readonly eventTimes: readonly EventTime[];
    }
  /** The snapshot is written, but not synced to disk. `firstPart` is the number of the first part. */
  | { readonly kind: 'saved'; readonly firstPart: number }
  /** An append could be written now. */
  | { readonly kind: 'probed' }
  /**
   * The file could not be opened, or the group or snapshot was not written. In the second case nothing of the group was
   * written.
   */
  | { readonly kind: 'failed'; readonly reason: string };
