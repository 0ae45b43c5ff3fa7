import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ReadStoreUnavailable } from '#read-models';
import type { Answer, LoadPart, Order, WriterOptions, WriterRequest } from './writer-protocol.js';

interface Waiting {
  readonly resolve: (misses: readonly string[]) => void;
  readonly reject: (error: ReadStoreUnavailable) => void;
}

/**
 * The calling thread's access to the writer thread (`writer.ts`). If the writer thread has died, the next request
 * starts a new one.
 */
export class WriterThread {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private orders = 0;
  private loads = 0;

  constructor(private readonly options: WriterOptions) {}

  /**
   * Returns the misses: ids of documents that were not written, or the name of a build that was not changed. Throws
   * `ReadStoreUnavailable`. If the thread died, the request may have been carried out nevertheless.
   */
  request(request: WriterRequest): Promise<readonly string[]> {
    const order = this.orders++;
    return new Promise((resolve, reject) => {
      this.waiting.set(order, { resolve, reject });
      this.post({ order, request });
    });
  }

  /** Sends documents of a load before the request `load`, which fails if the thread dies in between. */
  gather(part: LoadPart): void {
    this.post(part);
  }

  /** Returns a number for the parts of one load and its request `load`. */
  newLoad(): number {
    return this.loads++;
  }

  /** Resolves when all earlier requests are done and the thread has ended. */
  async close(): Promise<void> {
    if (this.worker === undefined) return;
    const exited = once(this.worker, 'exit');
    this.worker.postMessage('close');
    await exited;
  }

  private post(message: LoadPart | Order): void {
    this.worker ??= this.started();
    this.worker.postMessage(message);
  }

  private started(): Worker {
    const worker = new Worker(join(__dirname, 'writer.js'), { workerData: this.options });
    worker.on('message', (answer: Answer) => {
      const waiting = this.waiting.get(answer.order);
      this.waiting.delete(answer.order);
      if ('error' in answer)
        waiting?.reject(new ReadStoreUnavailable(`${this.options.file} can't be written: ${answer.error}`));
      else waiting?.resolve(answer.misses);
    });
    let reason: unknown;
    worker.on('error', (error) => (reason = error));
    worker.on('exit', () => {
      this.worker = undefined;
      for (const { reject } of this.waiting.values()) {
        reject(new ReadStoreUnavailable('The thread that writes has ended', { cause: reason }));
      }
      this.waiting.clear();
    });
    return worker;
  }
}
