import type { Reader } from './reader.js';

/**
 * Milliseconds between two checks for appends of other processes. This process checks only while a follower (a loop
 * that reads the log) waits. A check takes a few microseconds.
 */
const POLL_MS = 5;

interface Waiter {
  /** The value of `Reader.version` before the waiting follower's last read, which found no further events. */
  readonly version: bigint;
  readonly wake: () => void;
}

/**
 * Wakes waiting followers (loops that read the log) when the log has grown. An append of this process wakes the
 * followers at once. To notice appends of other processes, this class polls the file.
 */
export class Changes {
  private readonly waiters = new Set<Waiter>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly reader: Reader) {}

  /** Resolves when the log may have changed since `version`, or when the signal aborts. Throws `LogUnavailable`. */
  async since(version: bigint, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.reader.version() !== version) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.waiters.delete(waiter);
        if (this.waiters.size === 0) clearInterval(this.timer);
        resolve();
      };
      const waiter = { version, wake };
      signal.addEventListener('abort', wake);
      if (this.waiters.size === 0) this.timer = setInterval(this.poll, POLL_MS);
      this.waiters.add(waiter);
    });
  }

  wakeAll(): void {
    for (const { wake } of this.waiters) wake();
  }

  private readonly poll = (): void => {
    try {
      const version = this.reader.version();
      for (const waiter of this.waiters) if (waiter.version !== version) waiter.wake();
    } catch {
      this.wakeAll(); // Each follower then gets this error from its own read.
    }
  };
}
