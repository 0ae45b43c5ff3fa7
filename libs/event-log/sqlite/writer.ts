import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { LogUnavailable, LogUnwritable, reasonOf } from '#event-log';
import type { LatestEventTime } from './latest-event-time.js';
import { NotAnEventLog } from './schema.js';
import type {
  AppendOutcome,
  AppendRequest,
  FromWriterThread,
  SnapshotWrite,
  ToWriterThread,
  WriterThreadOptions,
} from './writer-protocol.js';

/**
 * Limits of a group of appends. A larger group would need a longer transaction, and other processes would have to wait
 * for the end of this transaction.
 */
const MAX_GROUP_APPENDS = 512;
const MAX_GROUP_BYTES = 4 * 1_048_576;

/** How long after a commit the log counts as writable without a probe, in ms. */
const FRESH_MS = 500;
/** How long a probe may take, in ms. A readiness check gives up after two seconds, and would not know the reason. */
const PROBE_MS = 1_500;

interface PendingAppend {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly settle: (outcome: AppendOutcome | LogUnavailable) => void;
}

interface PendingSnapshot {
  readonly write: SnapshotWrite;
  readonly resolve: (firstPart: number) => void;
  readonly reject: (reason: LogUnavailable) => void;
}

/**
 * Gathers the appends that arrive while the writer's thread is busy. When the thread is free, the thread gets the
 * gathered appends as one group. If there is no thread yet, or it has died, the next group starts one. Between two groups
 * the thread writes one snapshot, if snapshots are waiting.
 */
export class Writer {
  private readonly waiting = new Set<PendingAppend>();
  private readonly snapshots: PendingSnapshot[] = [];
  private readonly probes: ((outcome: LogUnwritable | undefined) => void)[] = [];
  /** Why the last write failed; `undefined` if it did not. */
  private failure: LogUnwritable | undefined;
  /** When the last write succeeded, by `performance.now()`. */
  private writtenAt = -Infinity;
  private working: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  private thread: WriterThread | undefined;

  /**
   * Starts no thread: the first append does. `latestTime` is told the times of the events that the thread finds in the
   * file.
   */
  constructor(
    private readonly options: WriterThreadOptions,
    private readonly latestTime: LatestEventTime,
  ) {}

  /** Starts the writer's thread, which opens the file. Throws `NotAnEventLog`, `LogUnavailable`. */
  static async open(options: WriterThreadOptions, latestTime: LatestEventTime): Promise<Writer> {
    const writer = new Writer(options, latestTime);
    try {
      await writer.liveThread();
    } catch (error) {
      if (error instanceof NotAnEventLog) throw error;
      throw new LogUnavailable(`${options.file} can't be opened: ${reasonOf(error)}`);
    }
    return writer;
  }

  /**
   * Resolves when the append is on disk, or was refused. `bytes` is the size of the append's data and metadata. Throws
   * `LogUnavailable`, at the latest at the deadline.
   */
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
      this.beginWork();
    });
  }

  /** Resolves to the number of the first part when the snapshot is written. Throws `LogUnavailable`. */
  writeSnapshot(write: SnapshotWrite): Promise<number> {
    if (this.closing) return Promise.reject(new LogUnavailable('The event log is closed'));
    return new Promise((resolve, reject) => {
      this.snapshots.push({ write, resolve, reject });
      this.beginWork();
    });
  }

  /** Resolves if an append could be written now. Throws `LogUnwritable`, at the latest after 1.5 s. */
  async probe(): Promise<void> {
    if (this.closing) throw new LogUnavailable('The event log is closed');
    if (!this.failure && performance.now() - this.writtenAt < FRESH_MS) return;
    const failure = await new Promise<LogUnwritable | undefined>((resolve) => {
      const settle = (outcome: LogUnwritable | undefined) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      const timer = setTimeout(() => {
        resolve(new LogUnwritable('another process has locked it, or its disk does not answer'));
      }, PROBE_MS);
      this.probes.push(settle);
      this.beginWork();
    });
    if (failure) throw failure;
  }

  /** Waits until the accepted appends are written, then checkpoints the file and closes the file. */
  close(): Promise<void> {
    this.closing ??= (this.working ?? Promise.resolve()).then(() => this.thread?.close());
    return this.closing;
  }

  private beginWork(): void {
    this.working ??= this.work();
  }

  private async work(): Promise<void> {
    while (this.waiting.size > 0 || this.snapshots.length > 0 || this.probes.length > 0) {
      await endOfTurn(); // Because of this wait, all appends of one turn of the event loop share a group.
      if (this.waiting.size > 0) await this.commit(this.takeGroup());
      if (this.probes.length > 0) await this.answerProbes();
      const snapshot = this.snapshots.shift();
      if (snapshot) await this.save(snapshot);
    }
    // No other code may run between the last check for work and this line. Otherwise new work could be overlooked.
    this.working = undefined;
  }

  private async commit(group: readonly PendingAppend[]): Promise<void> {
    try {
      const outcomes = await (await this.liveThread()).commit(group.map(({ request }) => request));
      outcomes.forEach((outcome, index) => group[index]?.settle(outcome));
      const failed = outcomes.find((outcome) => outcome.kind === 'failed');
      const isWritten = outcomes.some(({ kind }) => kind === 'written');
      if (isWritten) this.noteWritten();
      else if (failed) this.failure = new LogUnwritable(failed.reason);
    } catch (cause) {
      this.failure = unwritable(cause);
      for (const { settle } of group) settle(unavailable(cause));
    }
  }

  private async answerProbes(): Promise<void> {
    const probes = this.probes.splice(0);
    try {
      await (await this.liveThread()).probe(this.failure !== undefined);
      this.noteWritten();
    } catch (cause) {
      this.failure = unwritable(cause);
    }
    for (const settle of probes) settle(this.failure);
  }

  private noteWritten(): void {
    this.failure = undefined;
    this.writtenAt = performance.now();
  }

  private async save({ write, resolve, reject }: PendingSnapshot): Promise<void> {
    try {
      resolve(await (await this.liveThread()).save(write));
    } catch (cause) {
      reject(unavailable(cause));
    }
  }

  private async liveThread(): Promise<WriterThread> {
    if (this.thread?.hasEnded === false) return this.thread;
    this.thread = await WriterThread.open(this.options, this.latestTime);
    return this.thread;
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

/** Says without paths why something could not be written. */
const whyNot = (error: unknown): string =>
  error instanceof NotAnEventLog ? 'its file is no event log any more' : reasonOf(error);

const unwritable = (error: unknown): LogUnwritable => new LogUnwritable(whyNot(error));

const unavailable = (error: unknown): LogUnavailable =>
  new LogUnavailable(`The event log can't be written: ${whyNot(error)}`);

/** Throws why the thread could not do what it was asked to. */
function refused(answer: FromWriterThread): never {
  throw new Error('reason' in answer ? answer.reason : answer.kind);
}

/** The thread that holds the writing connection. The thread handles one message at a time. */
class WriterThread {
  hasEnded = false;
  private readonly worker: Worker;
  private asked: { resolve: (answer: FromWriterThread) => void; reject: (reason: unknown) => void } | undefined;

  private constructor(
    options: WriterThreadOptions,
    private readonly latestTime: LatestEventTime,
  ) {
    this.worker = new Worker(join(__dirname, 'writer-thread.js'), { workerData: options })
      .on('message', (answer: FromWriterThread) => this.asked?.resolve(answer))
      .on('error', (error) => {
        this.end(error);
      })
      .on('exit', () => {
        this.end(new Error('the thread that writes has ended'));
      });
  }

  static async open(options: WriterThreadOptions, latestTime: LatestEventTime): Promise<WriterThread> {
    const thread = new WriterThread(options, latestTime);
    const answer = await thread.answer();
    if (answer.kind === 'refused') throw new NotAnEventLog(answer.reason);
    if (answer.kind !== 'opened') return refused(answer);
    for (const event of answer.eventTimes) latestTime.note(event);
    return thread;
  }

  /**
   * Sends a group to the thread, and waits for the commit. Throws an error that says why the thread could not write it,
   * or why the thread has ended.
   */
  async commit(appends: readonly AppendRequest[]): Promise<readonly AppendOutcome[]> {
    this.tell({ kind: 'group', appends });
    const answer = await this.answer();
    if (answer.kind !== 'committed') return refused(answer);
    for (const event of answer.eventTimes) this.latestTime.note(event);
    return answer.outcomes;
  }

  /**
   * Sends a snapshot to the thread, and waits until it is written. Returns the number of the first part. Throws as
   * `commit` does.
   */
  async save(write: SnapshotWrite): Promise<number> {
    this.tell({ kind: 'snapshot', write });
    const answer = await this.answer();
    if (answer.kind !== 'saved') return refused(answer);
    return answer.firstPart;
  }

  /** Asks the thread whether an append could be written now. Throws as `commit` does if not. */
  async probe(isThorough: boolean): Promise<void> {
    this.tell({ kind: 'probe', isThorough });
    const answer = await this.answer();
    if (answer.kind !== 'probed') refused(answer);
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
