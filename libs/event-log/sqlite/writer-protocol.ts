import type { ExpectedRevision, SerialisedEvent } from '#event-log';
import type { Revision } from '#events';

/** `workerData` of the writer's thread. */
export interface WriterThreadOptions {
  readonly file: string;
  /** Milliseconds to wait for another process's transaction. */
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
  | { readonly kind: 'sealed' };

export type ToWriterThread =
  | { readonly kind: 'group'; readonly appends: readonly AppendRequest[] }
  /** Checkpoints, closes the file, ends the thread. */
  | { readonly kind: 'close' };

export type FromWriterThread =
  | { readonly kind: 'opened' }
  /** The file isn't an event log of ours. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Synced to disk; one outcome for each append of the group. */
  | { readonly kind: 'committed'; readonly outcomes: readonly AppendOutcome[] }
  /** The file could not be opened, or the group not be committed: nothing of it was written. */
  | { readonly kind: 'failed'; readonly reason: string };
