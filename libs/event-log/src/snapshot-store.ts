import type { CallOptions } from './call-options.js';

/**
 * Stores snapshots (saved states of streams) in the same store as the log. Everything here is a cache: the store MAY
 * lose any of it, and returns `undefined` for what it has lost. A snapshot contains verifiers of secrets, so nothing of
 * it may leave the store: reads of the log and subscriptions MUST NOT return it. Each stream and form of its state has a
 * name (`snapshotName`). A text MUST be smaller than `MAX_APPEND_BYTES`. All methods throw `LogUnavailable`.
 */
export interface SnapshotStore {
  /** Returns the text that was written last under this name, or an earlier one. */
  read(name: string, options?: CallOptions): Promise<string | undefined>;
  /** Replaces the text. */
  write(name: string, snapshot: string): Promise<void>;
  /** Returns the part with this number. */
  readPart(name: string, number: number, options?: CallOptions): Promise<string | undefined>;
  /**
   * Adds parts to the earlier parts of this name, which stay as they are. All parts together MUST be smaller than
   * `MAX_APPEND_BYTES`. Returns the number of the first part; the other parts have the numbers that follow.
   */
  writeParts(name: string, parts: readonly string[]): Promise<number>;
}
