import type { CallOptions } from './call-options.js';

/**
 * Stores snapshots (saved states of streams) in the same store as the log. Everything here is a cache: the store MAY
 * lose any of it, and returns `undefined` for what it has lost. A snapshot contains verifiers of secrets, so nothing of
 * it may leave the store: reads of the log and subscriptions MUST NOT return it. All methods throw `LogUnavailable`.
 */
export interface SnapshotStore {
  /** Returns the text that was written last for this stream, or an earlier one. */
  read(stream: string, options?: CallOptions): Promise<string | undefined>;
  /** Replaces the text. */
  write(stream: string, snapshot: string): Promise<void>;
  /** Returns one of the stream's parts. */
  readPart(stream: string, number: number, options?: CallOptions): Promise<string | undefined>;
  /**
   * Adds parts to the stream's earlier parts, which stay as they are. All parts together MUST be smaller than
   * `MAX_APPEND_BYTES`. Returns the number of the first part; the other parts have the numbers that follow.
   */
  writeParts(stream: string, parts: readonly string[]): Promise<number>;
}
