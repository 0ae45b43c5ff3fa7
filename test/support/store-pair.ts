import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventStore, startEventStore } from './eventstoredb/event-store.js';
import { freePort } from './free-ports.js';
import { type MongoProcess, startMongo } from './mongodb/mongo-server.js';
import type { Environment } from './service.js';

/** Event log and read store of several processes: empty, and out of reach before `arrive`. */
export interface StorePair {
  /** What processes must be told to find them. */
  readonly env: Environment;
  arrive(): Promise<void>;
  remove(): Promise<void>;
}

/** Two files in one directory. */
export async function sqlitePair(): Promise<StorePair> {
  const directory = await mkdtemp(join(tmpdir(), 'store-pair-'));
  const [dataDir, volume] = [join(directory, 'data'), join(directory, 'volume')];
  await mkdir(dataDir);
  // A volume that is mounted late: until then the links lead nowhere.
  for (const file of ['event-log.db', 'read-models.db']) await symlink(join(volume, file), join(dataDir, file));
  return {
    env: { DATA_DIR: dataDir },
    arrive: () => mkdir(volume),
    remove: () => rm(directory, { recursive: true }),
  };
}

/** A stand-in for EventStoreDB, and a MongoDB server: processes that a test can kill. */
export class ProductionPair implements StorePair {
  private servers: { readonly eventStore: EventStore; readonly mongo: MongoProcess } | undefined;
  /** Where the servers keep what they hold, to be exchanged while they are down (`mongod`'s is a directory). */
  readonly files: { readonly eventStore: string; readonly mongo: string };

  private constructor(
    private readonly eventStorePort: number,
    private readonly mongoPort: number,
    private readonly directory: string,
  ) {
    this.files = { eventStore: join(directory, 'events.jsonl'), mongo: join(directory, 'mongo') };
  }

  static async create(): Promise<ProductionPair> {
    return new ProductionPair(await freePort(), await freePort(), await mkdtemp(join(tmpdir(), 'production-pair-')));
  }

  get env(): Environment {
    return {
      EVENTSTOREDB_URL: `esdb://127.0.0.1:${this.eventStorePort}?tls=false`,
      MONGODB_URL: `mongodb://127.0.0.1:${this.mongoPort}/clients`,
    };
  }

  get eventStore(): EventStore {
    return this.arrived().eventStore;
  }

  get mongo(): MongoProcess {
    return this.arrived().mongo;
  }

  async arrive(): Promise<void> {
    const mongo = await startMongo({ port: this.mongoPort, file: this.files.mongo });
    const eventStore = await startEventStore({ port: this.eventStorePort, file: this.files.eventStore });
    this.servers = { mongo, eventStore };
  }

  async remove(): Promise<void> {
    await this.servers?.eventStore.stop();
    await this.servers?.mongo.stop();
    await rm(this.directory, { recursive: true });
  }

  private arrived() {
    if (this.servers === undefined) throw new Error('The stores have not arrived yet');
    return this.servers;
  }
}
