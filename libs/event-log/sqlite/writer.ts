import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { LogUnavailable } from '#event-log';
import { NotAnEventLog } from './schema.js';
import type {
  AppendOutcome,
  AppendRequest,
  FromWriterThread,
  ToWriterThread,
  WriterThreadOptions,
} from './writer-protocol.js';

/** Bounds of a group: what one transaction may hold others up for. */
const MAX_GROUP_APPENDS = 512;
const MAX_GROUP_BYTES = 4 * 1_048_576;

interface PendingAppend {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly settle: (outcome: AppendOutcome | LogUnavailable) => void;
}

/**
 * Gathers the appends that arrive while the writer's thread is busy, and hands them over as one group, one group at a
 * time. A thread that died is replaced for the next group.
 */
export class Writer {
  private readonly waiting = new Set<PendingAppend>();
  private working: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: WriterThreadOptions,
    private thread: WriterThread,
  ) {}

  /** Throws `NotAnEventLog`, `LogUnavailable`. */
  static async open(options: WriterThreadOptions): Promise<Writer> {
    return new Writer(options, await WriterThread.open(options));
  }

  /** Resolved means on disk. `bytes`: of the request's data and metadata. Throws `LogUnavailable`. */
  append(request: AppendRequest, bytes: number, deadlineMs: number): Promise<AppendOutcome> {
    if (this.closing) return Promise.reject(new LogUnavailable('The event log is closed'));
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        this.waiting.delete(pending);
        reject(new LogUnavailable(`The event log did not acknowledge an append within ${deadlineMs} ms`));
      }, deadlineMs);
      const settle: PendingAppend['settle'] = (outcome) => {
        clearTimeout(deadline);
        if (outcome instanceof LogUnavailable) reject(outcome);
        else resolve(outcome);
      };
      const pending = { request, bytes, settle };
      this.waiting.add(pending);
      this.working ??= this.work().finally(() => (this.working = undefined));
    });
  }

  /** Finishes what was accepted, checkpoints, closes the file. */
  close(): Promise<void> {
    this.closing ??= (this.working ?? Promise.resolve()).then(() => this.thread.close());
    return this.closing;
  }

  private async work(): Promise<void> {
    while (this.waiting.size > 0) {
      await endOfTurn(); // Appends of the same turn share the group.
      const group = this.takeGroup();
      try {
        if (this.thread.hasEnded) this.thread = await WriterThread.open(this.options);
        const outcomes = await this.thread.commit(group.map(({ request }) => request));
        outcomes.forEach((outcome, index) => group[index]?.settle(outcome));
      } catch (cause) {
        for (const { settle } of group) settle(unavailable(cause));
      }
    }
  }

  private takeGroup(): PendingAppend[] {
    const group: PendingAppend[] = [];
    let bytes = 0;
    for (const pending of this.waiting) {
      bytes += pending.bytes;
      if (group.length === MAX_GROUP_APPENDS || (group.length > 0 && bytes > MAX_GROUP_BYTES)) break;
      group.push(pending);
      this.waiting.delete(pending);
    }
    return group;
  }
}

const unavailable = (cause: unknown): LogUnavailable =>
  cause instanceof LogUnavailable
    ? cause
    : new LogUnavailable(`The event log can't be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      });

/** The thread that holds the writing connection; it answers one question at a time. */
class WriterThread {
  hasEnded = false;
  private readonly worker: Worker;
  private asked: { resolve: (answer: FromWriterThread) => void; reject: (reason: unknown) => void } | undefined;

  private constructor(options: WriterThreadOptions) {
    this.worker = new Worker(join(__dirname, 'writer-thread.js'), { workerData: options })
      .on('message', (answer: FromWriterThread) => this.asked?.resolve(answer))
      .on('error', (error) => {
        this.end(error);
      })
      .on('exit', () => {
        this.end(new LogUnavailable("The event log's writer ended"));
      });
  }

  static async open(options: WriterThreadOptions): Promise<WriterThread> {
    const thread = new WriterThread(options);
    const answer = await thread.answer();
    if (answer.kind === 'refused') throw new NotAnEventLog(answer.reason);
    if (answer.kind === 'failed') throw new LogUnavailable(answer.reason);
    return thread;
  }

  /** Throws `LogUnavailable`, and what ended the thread. */
  async commit(appends: readonly AppendRequest[]): Promise<readonly AppendOutcome[]> {
    this.tell({ kind: 'group', appends });
    const answer = await this.answer();
    if (answer.kind !== 'committed') throw new LogUnavailable('reason' in answer ? answer.reason : answer.kind);
    return answer.outcomes;
  }

  async close(): Promise<void> {
    if (this.hasEnded) return;
    this.tell({ kind: 'close' });
    await once(this.worker, 'exit');
  }

  private end(reason: unknown): void {
    this.hasEnded = true;
    this.asked?.reject(reason);
  }

  private tell(message: ToWriterThread): void {
    this.worker.postMessage(message);
  }

  private answer(): Promise<FromWriterThread> {
    return new Promise((resolve, reject) => {
      this.asked = { resolve, reject };
    });
  }
}
