/** A piece of work that has failed. */
export interface Failure {
  readonly id: string;
  /** Number of attempts that have failed. */
  readonly attempts: number;
  /** The error of the last attempt. */
  readonly error: Error;
}

interface Entry extends Failure {
  /** When the next attempt is due, in ms of the monotonic clock. */
  readonly dueAt: number;
}

export interface FailedWorkOptions {
  /** The pause after the first failed attempt, in ms (default 50). Each further pause is twice as long. */
  readonly firstPauseMs?: number;
  /** The longest pause between two attempts, in ms (default 60,000). */
  readonly longestPauseMs?: number;
  /** The largest number of pieces of work that are remembered (default 10,000: a few megabytes). */
  readonly maxSize?: number;
}

/** Work counts as failing for good, until an operator acts, after this many failed attempts. */
const LASTING_ATTEMPTS = 10;

/**
 * Pieces of work that have failed. Each piece has its own pauses between attempts, so that it delays no other piece. The
 * memory is bounded: when it is full, further pieces are not remembered.
 */
export class FailedWorkQueue {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly options: FailedWorkOptions = {}) {}

  get size(): number {
    return this.entries.size;
  }

  get isFull(): boolean {
    return this.entries.size >= (this.options.maxSize ?? 10_000);
  }

  has(id: string): boolean {
    return this.entries.has(id);
  }

  /** Counts a failed attempt. Returns the work; `undefined` if the memory is full and the work is not remembered. */
  failed(id: string, error: Error): Failure | undefined {
    const known = this.entries.get(id);
    if (!known && this.isFull) return undefined;
    const { firstPauseMs = 50, longestPauseMs = 60_000 } = this.options;
    const attempts = (known?.attempts ?? 0) + 1;
    const pauseMs = Math.min(firstPauseMs * 2 ** (attempts - 1), longestPauseMs);
    const entry = { id, attempts, error, dueAt: performance.now() + pauseMs };
    this.entries.set(id, entry);
    return entry;
  }

  /** Forgets the work. Returns the work; `undefined` if it is not remembered. */
  settle(id: string): Failure | undefined {
    const known = this.entries.get(id);
    this.entries.delete(id);
    return known;
  }

  /** Returns the ids of at most `limit` pieces of work whose next attempt is due. */
  due(limit: number): string[] {
    const now = performance.now();
    const due = [...this.entries.values()].filter(({ dueAt }) => dueAt <= now);
    due.sort((a, b) => a.dueAt - b.dueAt);
    return due.slice(0, limit).map(({ id }) => id);
  }

  /** Milliseconds until the next attempt of any work is due; `undefined` if the queue is empty. */
  get msUntilDue(): number | undefined {
    if (this.entries.size === 0) return undefined;
    let earliest = Infinity;
    for (const { dueAt } of this.entries.values()) earliest = Math.min(earliest, dueAt);
    return Math.max(0, earliest - performance.now());
  }

  /** Returns the work that has failed so often that an operator has to act. */
  lasting(): Failure[] {
    return [...this.entries.values()].filter(({ attempts }) => attempts >= LASTING_ATTEMPTS);
  }
}
