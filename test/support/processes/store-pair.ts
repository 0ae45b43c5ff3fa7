import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventStore, startEventStore } from '../../servers/eventstoredb/event-store.js';
import { type MongoProcess, type NewDatabase, newDatabase, startMongo } from '../../servers/mongodb/mongo-server.js';
import { MongoRelay, urlThrough } from '../../servers/mongodb/relay.js';
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

export interface ProductionPairOptions {
  /** Whether the test kills MongoDB. If not, the server at `MONGODB_URL` is used, if that is set. */
  readonly killsMongo?: boolean;
}

/**
 * An EventStoreDB server, and a MongoDB server. Each of the two servers runs in its own process, which a test can kill.
 * At `MONGODB_URL`, the pair has a database of its own, which it reaches through a relay on its own port.
 */
export class ProductionPair implements StorePair {
  private servers: { readonly eventStore: EventStore; readonly mongo: MongoProcess } | undefined;
  /**
   * The paths of the servers' data. A test may replace the data while the servers are down. For `mongod` and an
   * installed event store, the path is a directory.
   */
  readonly files: { readonly eventStore: string; readonly mongo: string };

  private constructor(
    private readonly eventStorePort: number,
    private readonly mongoPort: number,
    private readonly directory: string,
    /** The database of this pair at `MONGODB_URL`, if the server there is used. */
    private readonly sharedMongo: NewDatabase | undefined,
  ) {
    this.files = { eventStore: join(directory, 'events.jsonl'), mongo: join(directory, 'mongo') };
  }

  static async create({ killsMongo = false }: ProductionPairOptions = {}): Promise<ProductionPair> {
    const directory = await mkdtemp(join(tmpdir(), 'production-pair-'));
    const { MONGODB_URL: url } = process.env;
    const sharedMongo = killsMongo || !url ? undefined : newDatabase(url, 'pair');
    return new ProductionPair(await freePort(), await freePort(), directory, sharedMongo);
  }

  get env(): Environment {
    const { sharedMongo, mongoPort } = this;
    return {
      EVENTSTOREDB_URL: `esdb://127.0.0.1:${this.eventStorePort}?tls=false`,
      MONGODB_URL: urlThrough(sharedMongo?.url ?? 'mongodb://127.0.0.1/pair', mongoPort),
    };
  }

  get eventStore(): EventStore {
    return this.arrived().eventStore;
  }

  get mongo(): MongoProcess {
    return this.arrived().mongo;
  }

  async arrive(): Promise<void> {
    const [mongo, eventStore] = await Promise.all([
      this.startMongo(),
      startEventStore({ port: this.eventStorePort, file: this.files.eventStore }),
    ]);
    this.servers = { mongo, eventStore };
  }

  async remove(): Promise<void> {
    await Promise.all([this.servers?.eventStore.stop(), this.servers?.mongo.stop()]);
    await rm(this.directory, { recursive: true });
  }

  private async startMongo(): Promise<MongoProcess> {
    const { sharedMongo, mongoPort: port } = this;
    if (sharedMongo === undefined) return startMongo({ port, file: this.files.mongo });
    const relay = await MongoRelay.start(sharedMongo.url, port);
    const stop = async () => {
      await relay.close();
      await sharedMongo.drop();
    };
    return { ...(await startMongo()), stop };
  }

  private arrived() {
    if (this.servers === undefined) throw new Error('The stores have not arrived yet');
    return this.servers;
  }
}
