import type { OutageObserver } from '../retry.js';

/**
 * Tells how the writing of snapshots goes. A snapshot is a cache, so a failed write fails no command. But while writes
 * fail, long streams become slower and slower to read. So the observer is told when writes begin to fail, and when a
 * write has succeeded again.
 */
export class SnapshotWrites {
  private failed = 0;
  private isFailing = false;

  constructor(private readonly observer?: OutageObserver) {}

  /** Number of writes that have failed. */
  get failures(): number {
    return this.failed;
  }

  noteSuccess(): void {
    if (!this.isFailing) return;
    this.isFailing = false;
    this.observer?.outageEnded();
  }

  noteFailure(stream: string, cause: unknown): void {
    this.failed += 1;
    if (this.isFailing) return;
    this.isFailing = true;
    this.observer?.outageBegan(new Error(`The snapshot of ${stream} was not written`, { cause }));
  }
}
