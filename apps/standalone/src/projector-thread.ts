import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { settledWithin } from '#event-log';
import {
  type Configuration,
  Degraded,
  type Logger,
  NoAnswer,
  type OutageNotes,
  type ProcessDependency,
  Starting,
  storeConfigurationOf,
  writeLine,
} from '#platform';
import { type LogFindings, NO_FINDINGS } from '#stores/without-keys';
import type { RunningProjections } from '../../projector/src/dependencies.js';
import { errorOf } from '../../projector/src/plain-error.js';
import type { RunnerStatus } from '../../projector/src/projection-runner.js';
import type {
  Answers,
  FromProjectorThread,
  ProjectorThreadData,
  Question,
  ToProjectorThread,
} from './projector-protocol.js';

/** A thread that has not answered for this many ms counts as stuck. This is less than a readiness check may take. */
const ANSWER_WITHIN_MS = 1_500;
const STUCK = `The projector's thread has not answered for ${ANSWER_WITHIN_MS} ms`;
/**
 * The thread's check of its stores may take this many ms. This is more than the check of the event log takes until it
 * gives up with its own reason, and less than a readiness check may take.
 */
const STORES_WITHIN_MS = 1_800;
/** A thread that has not ended this many ms after it was told to stop is ended by force. */
const STOP_WITHIN_MS = 5_000;

/**
 * Limits the part of the heap that holds new objects. Without the limit, an idle thread would keep 8 MB more, and build
 * read models no faster.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4 };

export interface ProjectorThreadParts {
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly outages: OutageNotes;
  /** Resolves when the stores of the main thread are open. The work begins only then. */
  readonly storesOpened: Promise<unknown>;
  /** The counter of the main thread's event log. See `SqliteEventLogOptions`. */
  readonly changeCounter: SharedArrayBuffer;
}

interface Asked {
  readonly answer: Promise<Answers[Question]>;
  readonly resolve: (answer: Answers[Question]) => void;
}

/**
 * The projector on a thread of its own, so that its work does not delay logins and commands:
 *
 * 1. The thread has its own event log and read store, opened with the same settings as those of the main thread. They
 *    need not know of each other: several processes may use the stores at once, and a thread counts as another process.
 *    The thread gets no keys.
 * 2. The main thread asks it how the work is getting on, for readiness and metrics. Only an answer counts. So a thread
 *    that is stuck or has ended turns the readiness checks red.
 * 3. The thread sends the lines of its log, and the main thread writes them, so that lines are never mixed. The thread
 *    also tells when a store fails its work, since an outage is logged once for the whole process.
 * 4. An unexpected error ends the thread, and then the process: `broken` rejects.
 */
export class ProjectorThread implements ProcessDependency, RunningProjections {
  readonly name = 'projector thread';
  /** Resolves when the thread has opened its stores. Rejects if it broke before. */
  readonly opened: Promise<void>;
  readonly broken: Promise<never>;
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  private readonly asked = new Map<Question, Asked>();
  private reportStarted: () => void = () => undefined;
  private closing: Promise<void> | undefined;
  private lastFindings = NO_FINDINGS;

  /** Starts the thread. Its work begins after `start`. */
  constructor(private readonly parts: ProjectorThreadParts) {
    const { configuration, changeCounter } = parts;
    const { logLevel } = configuration;
    const workerData: ProjectorThreadData = { ...storeConfigurationOf(configuration), logLevel, changeCounter };
    this.worker = new Worker(join(__dirname, 'projector-worker.js'), { workerData, resourceLimits: RESOURCE_LIMITS });
    this.worker.on('message', (message: FromProjectorThread) => {
      this.receive(message);
    });
    this.broken = new Promise((_, reject) => {
      this.worker.on('error', reject).on('exit', (code) => {
        if (!this.closing) reject(new Error(`The projector's thread ended with ${code}`));
      });
    });
    this.exited = new Promise((resolve) => {
      this.worker.on('exit', resolve);
    });
    this.opened = new Promise((resolve, reject) => {
      this.reportStarted = resolve;
      this.broken.catch(reject);
    });
    // Other code gets these errors. Without handlers here, Node could end the process before that code awaits them.
    for (const promise of [this.broken, this.opened]) promise.catch(() => undefined);
  }

  start(): void {
    // If a store can't be opened, other code ends the process with the error. Therefore the error is ignored here.
    this.parts.storesOpened.then(
      () => {
        this.tell({ kind: 'start' });
      },
      () => undefined,
    );
  }

  status(): Promise<RunnerStatus> {
    return this.ask('status', ANSWER_WITHIN_MS, STUCK);
  }

  /** Returns what the thread's log has found; what it found last, while the thread does not answer. */
  async findings(): Promise<LogFindings> {
    try {
      this.lastFindings = await this.ask('findings', ANSWER_WITHIN_MS, STUCK);
    } catch {
      // Readiness tells that the thread is stuck. A counter must not go back meanwhile.
    }
    return this.lastFindings;
  }

  async check(): Promise<void> {
    const silentStores = `The stores of the projector's thread did not answer for ${STORES_WITHIN_MS} ms`;
    // Only the answer about the status proves that the thread lives: its stores may hang while it works.
    const [failure] = await Promise.all([this.ask('check', STORES_WITHIN_MS, silentStores), this.status()]);
    if (failure?.name === 'Degraded') throw new Degraded(failure.message);
    if (failure?.name === 'Starting') throw new Starting(failure.message);
    if (failure) throw errorOf(failure);
  }

  /** Does nothing: `close` ends the work, after the modules of the process have written their last events. */
  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Throws if the thread had to be ended by force. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.tell({ kind: 'stop' });
    if (await settledWithin(this.exited, STOP_WITHIN_MS)) return;
    await this.worker.terminate();
    throw new Error(`The projector's thread did not stop within ${STOP_WITHIN_MS} ms`);
  }

  /**
   * Throws `otherwise` if the answer does not come within `ms`. Callers that ask the same before the answer comes share
   * the question, so a stuck thread gets few questions.
   */
  private async ask<Asked extends Question>(question: Asked, ms: number, otherwise: string): Promise<Answers[Asked]> {
    const { answer } = this.asked.get(question) ?? this.newQuestion(question);
    if (await settledWithin(answer, ms)) return (await answer) as Answers[Asked];
    throw new NoAnswer(otherwise);
  }

  private newQuestion(question: Question): Asked {
    let resolve: Asked['resolve'] = () => undefined;
    const answer = new Promise<Answers[Question]>((resolved) => (resolve = resolved));
    const asked = { answer, resolve };
    this.asked.set(question, asked);
    this.tell({ kind: 'ask', question });
    return asked;
  }

  private receive(message: FromProjectorThread): void {
    switch (message.kind) {
      case 'started':
        this.reportStarted();
        return;
      case 'answer':
        this.asked.get(message.question)?.resolve(message.answer);
        this.asked.delete(message.question);
        return;
      case 'storeFailed':
        this.parts.outages.failed(errorOf(message.error));
        return;
      case 'log':
        writeLine(this.parts.logger, message.line);
    }
  }

  private tell(message: ToProjectorThread): void {
    this.worker.postMessage(message);
  }
}
