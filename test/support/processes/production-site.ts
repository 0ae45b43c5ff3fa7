import type { EventLog } from '#event-log';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import type { RecordedEvent } from '#events';
import type { Projection } from '#read-models';
import { openMongoReadStore } from '#read-models/mongodb';
import { eventually } from '../api/http.js';
import { Issuer } from '../api/issuer.js';
import { Portal } from '../api/portal.js';
import { assignmentsToEnded, expectSoundLog, expectStoreToBeTheFold, storeCaughtUp } from '../events/audit.js';
import { endOfLog } from '../events/end-of-log.js';
import { processSecrets } from './process-secrets.js';
import type { Environment } from './program.js';
import { Service, type ServiceName } from './service.js';
import { ProductionPair, type ProductionPairOptions } from './store-pair.js';

/** A MongoDB server, an EventStoreDB server, and any number of our processes that use these two stores. */
export class ProductionSite {
  private readonly running: Service[] = [];

  private constructor(
    readonly pair: ProductionPair,
    private readonly issuer: Issuer,
    private readonly env: Environment,
    /** The test's own connection to the event log. */
    readonly log: EventLog,
  ) {}

  /** Starts the stores. Starts none of our processes yet. */
  static async create(options?: ProductionPairOptions): Promise<ProductionSite> {
    const [pair, issuer] = await Promise.all([ProductionPair.create(options), Issuer.start()]);
    await pair.arrive();
    const env = { ...pair.env, ...issuer.env, ...processSecrets() };
    return new ProductionSite(pair, issuer, env, openEventStoreDbLog({ url: pair.eventStore.url }));
  }

  /**
   * Starts a process. `release` is the folder of another release, whose `dist` is run instead of this repository's
   * `dist`.
   */
  async start(name: ServiceName, release?: string): Promise<Service> {
    const service = await Service.start(name, this.env, release);
    this.running.push(service);
    return service;
  }

  async portal({ url }: Service): Promise<Portal> {
    return new Portal(url, await this.issuer.token('acme'));
  }

  /**
   * Waits until the processes have done all work. Then expects that the log is sound, and that the read models are
   * exactly what a fresh fold of the log gives. If another release is running, pass that release's read models as
   * `readModels`.
   */
  async expectAllToBeRight(readModels?: readonly Projection[]): Promise<void> {
    await eventually(
      async () => assignmentsToEnded(await this.events()),
      ({ length }) => length === 0,
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
