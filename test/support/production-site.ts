import type { EventLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import type { RecordedEvent } from '#events';
import type { Projection } from '#read-models';
import { openMongoReadStore } from '#read-models/mongodb';
import { endOfLog } from './end-of-log.js';
import { assignmentsToEnded, expectSoundLog, expectStoreToBeTheFold, storeCaughtUp } from './audit.js';
import { eventually } from './http.js';
import { Issuer } from './issuer.js';
import { Portal } from './portal.js';
import { processSecrets } from './process-secrets.js';
import { type Environment, Service, type ServiceName } from './service.js';
import { ProductionPair } from './store-pair.js';

/** A production pair of its own, and any number of processes on it. */
export class ProductionSite {
  private readonly running: Service[] = [];

  private constructor(
    readonly pair: ProductionPair,
    private readonly issuer: Issuer,
    private readonly env: Environment,
    /** The test's own way to the log. */
    readonly log: EventLog,
  ) {}

  /** The stores are there, and no process yet. */
  static async create(): Promise<ProductionSite> {
    const [pair, issuer] = await Promise.all([ProductionPair.create(), Issuer.start()]);
    await pair.arrive();
    const env = { ...pair.env, ...issuer.env, ...processSecrets() };
    return new ProductionSite(pair, issuer, env, openEventStoreDbLog({ url: pair.eventStore.url }));
  }

  /** `release`: the folder of another `dist` than this one's. */
  async start(name: ServiceName, release?: string): Promise<Service> {
    const service = await Service.start(name, this.env, release);
    this.running.push(service);
    return service;
  }

  async portal({ url }: Service): Promise<Portal> {
    return new Portal(url, await this.issuer.token('acme'));
  }

  /**
   * Waits until nothing is left to do: then the log is sound, and the read models are its fold. `readModels`: those of
   * another release than this one.
   */
  async expectAllToBeRight(readModels?: readonly Projection[]): Promise<void> {
    await eventually(
      async () => assignmentsToEnded(await this.events()),
      ({ length }) => length === 0,
      30,
    );
    const store = await openMongoReadStore({ url: this.pair.env.MONGODB_URL ?? '' });
    try {
      await storeCaughtUp(store, await endOfLog(this.log), readModels);
      const events = await this.events();
      await expectSoundLog(events);
      await expectStoreToBeTheFold(store, events, readModels);
    } finally {
      await store.close();
    }
  }

  async remove(): Promise<void> {
    await Promise.all(this.running.map((service) => service.stop()));
    await this.log.close();
    await this.issuer.close();
    await this.pair.remove();
  }

  private events(): Promise<RecordedEvent[]> {
    return this.log.readAll({ limit: Infinity });
  }
}
