import { EventEmitter, once } from 'node:events';
import {
  type BuildName,
  type ClientDocument,
  type ProjectionObserver,
  projections,
  rebuild,
  ServedProjection,
} from '#read-models';
import { clientNamed, plainFold, silent, Stage, storedDocuments, until } from './stage.js';

const { clients } = projections;

/**
 * Makes a gate, which is closed until `open` is called. `passed` is a promise that resolves when the gate opens. A
 * projector whose store waits for this promise before it stores a checkpoint waits at the gate after its first batch.
 */
export const gate = () => {
  const opened = new EventEmitter();
  return { passed: once(opened, 'open').then(() => undefined), open: () => opened.emit('open') };
};

/** Serves and rebuilds the projection `clients`, as projectors and operators do. A build is a copy of the documents. */
export class ClientBuilds {
  readonly stop = new AbortController();
  /** Promises of the running loops. `close` waits for all of these promises. */
  readonly running: Promise<unknown>[] = [];

  private constructor(readonly stage: Stage) {}

  static async open(): Promise<ClientBuilds> {
    return new ClientBuilds(await Stage.open());
  }

  async close(): Promise<void> {
    this.stop.abort();
    await Promise.allSettled(this.running);
    await this.stage.close();
  }

  serve(observer: ProjectionObserver = silent): ServedProjection<ClientDocument> {
    const served = new ServedProjection({ ...this.stage.stores, projection: clients, observer, checkMs: 10 });
    this.running.push(served.run(this.stop.signal));
    return served;
  }

  async serveNow(): Promise<ServedProjection<ClientDocument>> {
    const served = this.serve();
    await until(async () => (await this.served()) !== undefined);
    return served;
  }

  served(): Promise<BuildName | undefined> {
    return this.stage.store.served(clients.name, clients.version);
  }

  async names(): Promise<BuildName[]> {
    return (await this.stage.store.builds(clients.name, clients.version)).map(({ build }) => build);
  }

  rebuild(options: Partial<Parameters<typeof rebuild<ClientDocument>>[0]> = {}): ReturnType<typeof rebuild> {
    const report = rebuild({
      ...{ ...this.stage.stores, projection: clients, observer: silent, signal: this.stop.signal, graceMs: 0 },
      ...options,
    });
    this.running.push(report);
    return report;
  }

  async expectPlainFold(build: BuildName): Promise<void> {
    expect(await storedDocuments(this.stage.store, build)).toEqual(plainFold(clients, await this.stage.events()));
  }

  /** Changes a document so that the document differs from the fold of the log. */
  async corrupt(build: BuildName, label: string | number): Promise<void> {
    const [stored] = await this.stage.store.read<ClientDocument>(build, [clientNamed(label)]);
    if (!stored) throw new Error('no such document');
    const doc = { ...stored.doc, name: 'Not by any event' };
    expect(await this.stage.store.write(build, [{ ...stored, doc, expected: stored.position }])).toEqual([]);
  }
}
