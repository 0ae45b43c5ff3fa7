import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventStore, startEventStore } from '../../servers/eventstoredb/event-store.js';
import { type MongoProcess, startMongo } from '../../servers/mongodb/mongo-server.js';
import { freePort } from './free-ports.js';
import type { Environment } from './program.js';

/**
 * An empty event log and an empty read store for several processes. The stores can't be reached before `arrive`
 * resolves.
 */
export interface StorePair {
  /** The environment with which a process uses these two stores. */
  readonly env: Environment;
  arrive(): Promise<void>;
  remove(): Promise<void>;
}

/** Makes a pair of SQLite files in one directory. */
export async function sqlitePair(): Promise<StorePair> {
  const directory = await mkdtemp(join(tmpdir(), 'store-pair-'));
  const [dataDir, volume] = [join(directory, 'data'), join(directory, 'volume')];
  await mkdir(dataDir);
  // These links point to files that don't exist yet. For a process this looks like a volume that is mounted late.
  for (const file of ['event-log.db', 'read-models.db']) await symlink(join(volume, file), join(dataDir, file));
  return {
    env: { DATA_DIR: dataDir },
    arrive: () => mkdir(volume),
    remove: () => rm(directory, { recursive: true }),
  };
}

/**
 * A stand-in for EventStoreDB, and a MongoDB server. Each of the two servers runs in its own process, which a test can
 * kill.
 */
export class ProductionPair implements StorePair {
  private servers: { readonly eventStore: EventStore; readonly mongo: MongoProcess } | undefined;
  /**
   * The paths of the servers' data. A test may replace the data while the servers are down. For `mongod`, the path is a
   * directory.
   */
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
