import type { OutageObserver } from '../retry.js';

/** Number of failing streams that are remembered. */
const MAX_STREAMS = 1_000;

/**
 * Tells how the writing of snapshots goes. A snapshot is a cache, so a failed write fails no command. But while writes
 * fail, long streams become slower and slower to read. So the observer is told when writes begin to fail, and when they
 * succeed again.
 */
export class SnapshotWrites {
  private failed = 0;
  private isFailing = false;
  /** The streams whose last write failed, oldest first. */
  private readonly streams = new Set<string>();

  constructor(private readonly observer?: OutageObserver) {}

  /** Number of writes that have failed. */
  get failures(): number {
    return this.failed;
  }

  noteSuccess(stream: string): void {
    const hadFailed = this.streams.delete(stream);
    // If a single stream fails, the reason may be that stream, and the success of another one says nothing about it.
    const isOver = hadFailed || this.streams.size > 1;
    if (!isOver || !this.isFailing) return;
    this.isFailing = false;
    this.observer?.outageEnded();
  }

  noteFailure(stream: string, cause: unknown): void {
    this.failed += 1;
    const isTold = this.streams.has(stream);
    this.remember(stream);
    if (this.isFailing || isTold) return;
    this.isFailing = true;
    this.observer?.outageBegan(new Error(`The snapshot of ${stream} was not written`, { cause }));
  }

  private remember(stream: string): void {
    this.streams.add(stream);
    const [oldest] = this.streams;
    if (oldest !== undefined && this.streams.size > MAX_STREAMS) this.streams.delete(oldest);
  }
}
