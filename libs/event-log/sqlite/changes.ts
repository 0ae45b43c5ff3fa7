import type { Reader } from './reader.js';

/** Milliseconds between two checks for appends of other processes. A check takes a few microseconds. */
const POLL_MS = 5;
/** A follower that waits for the counter looks at the log after this many ms in any case. */
const LONGEST_WAIT_MS = 1_000;

interface Waiter {
  /** The value of `Reader.version` before the waiting follower's last read, which found no further events. */
  readonly version: bigint;
  readonly wake: () => void;
}

/**
 * Wakes waiting followers (loops that read the log) when the log has grown. An append through this log wakes the
 * followers at once. To notice appends of other processes, this class polls the file while a follower waits.
 *
 * Two logs of one process may share a counter in memory. Then only the first log polls, also while none of its own
 * followers waits. It raises the counter whenever it meets a new version of the file, even if its own followers have read
 * that version already. The followers of the secondary log wait for the counter.
 */
export class Changes {
  private readonly waiters = new Set<Waiter>();
  private timer: NodeJS.Timeout | undefined;
  /** The latest version of the file for which the counter was raised. */
  private raisedFor: bigint | undefined;

  constructor(
    private readonly reader: Pick<Reader, 'version'>,
    private readonly counter: Int32Array<SharedArrayBuffer>,
    private readonly role: 'only' | 'first' | 'secondary',
  ) {
    if (role === 'first') this.startPolling();
  }

  /** Wakes all followers, and polls no more. */
  close(): void {
    clearInterval(this.timer);
    this.wakeAll();
  }

  /** Resolves when the log may have changed since `version`, or when the signal aborts. Throws `LogUnavailable`. */
  async since(version: bigint, signal: AbortSignal): Promise<void> {
    // The counter is read before the file's version: a change after the version was read raises the counter later.
    const counted = Atomics.load(this.counter, 0);
    const current = this.reader.version();
    this.raiseFor(current);
    if (signal.aborted || current !== version) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.waiters.delete(waiter);
        if (this.waiters.size === 0 && this.role === 'only') clearInterval(this.timer);
        resolve();
      };
      const waiter = { version, wake };
      signal.addEventListener('abort', wake);
      if (this.waiters.size === 0 && this.role === 'only') this.startPolling();
      this.waiters.add(waiter);
      if (this.role === 'secondary') this.wakeWhenRaised(counted, wake);
    });
  }

  /** Wakes all followers, also those of the process's other logs on this file. */
  appended(): void {
    this.raise();
    this.wakeAll();
  }

  wakeAll(): void {
    for (const { wake } of this.waiters) wake();
  }

  private startPolling(): void {
    this.timer = setInterval(this.poll, POLL_MS);
  }

  private readonly poll = (): void => {
    try {
      const version = this.reader.version();
      this.raiseFor(version);
      for (const waiter of this.waiters) if (waiter.version !== version) waiter.wake();
    } catch {
      this.wakeAll(); // Each follower then gets this error from its own read.
    }
  };

  private raiseFor(version: bigint): void {
    if (this.role === 'secondary' || version === this.raisedFor) return;
    this.raisedFor = version;
    this.raise();
  }

  private raise(): void {
    Atomics.add(this.counter, 0, 1);
    Atomics.notify(this.counter, 0);
  }

  private wakeWhenRaised(counted: number, wake: () => void): void {
    const raised = Atomics.waitAsync(this.counter, 0, counted, LONGEST_WAIT_MS);
    if (raised.async) void raised.value.then(wake);
    else wake();
  }
}
