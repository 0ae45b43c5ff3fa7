import { isDeepStrictEqual } from 'node:util';
import {
  type AnyBulkWriteOperation,
  type Collection,
  type Db,
  MongoBulkWriteError,
  MongoClient,
  ReadConcern,
} from 'mongodb';
import {
  type BuildInfo,
  type BuildName,
  type Checkpoint,
  type CollectionSchema,
  type DocumentWrite,
  type Lease,
  type PageQuery,
  type ReadStore,
  ReadStoreUnavailable,
  type StoredDocument,
  parsedBuild,
} from '#read-models';
import { type StoredFields, asStored, collectionOf, documentOf, fieldsOf } from './documents.js';
import { ServerCode, hasCode, translated } from './errors.js';
import { layOut } from './layout.js';
import { pageFind } from './page.js';
import { Registry } from './registry.js';
import { validatorOf } from './validation.js';
import { pointViews } from './views.js';

export { type StoredFields, pageFind, validatorOf };

export interface MongoReadStoreOptions {
  /** A connection string (https://www.mongodb.com/docs/manual/reference/connection-string/). */
  readonly url: string;
  /** Default: the one that `url` names, else `consumer_clients`. */
  readonly database?: string;
  /** How long a call may take, in milliseconds (default 5000); one that makes indexes or counts may take ten times as long. */
  readonly timeoutMs?: number;
}

const DEFAULT_DATABASE = 'consumer_clients';
/** Calls that walk through a whole collection may take so many times as long as others. */
const LONG_CALL_TIMES = 10;

/**
 * Read models in a MongoDB database (4.4 or newer): every write is acknowledged by the majority, every read comes from
 * the primary, of what the majority has. Retries are left to the caller. Several processes may use the database.
 * Throws `ReadStoreUnavailable`, and `TypeError` for what is no connection string.
 */
export async function openMongoReadStore(options: MongoReadStoreOptions): Promise<ReadStore> {
  const store = new MongoReadStore(options);
  try {
    await store.ping();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

class MongoReadStore implements ReadStore {
  private readonly client: MongoClient;
  private readonly database: Db;
  private readonly registry: Registry;
  private readonly timeoutMs: number;
  private readonly underway = new Set<Promise<unknown>>();
  private closed = false;

  constructor({ url, database, timeoutMs = 5_000 }: MongoReadStoreOptions) {
    this.timeoutMs = timeoutMs;
    this.client = clientOf(url, timeoutMs);
    // Here rather than on the client, where the URL could overrule them.
    this.database = this.client.db(database ?? databaseOf(url) ?? DEFAULT_DATABASE, {
      readPreference: 'primary',
      readConcern: new ReadConcern('majority'),
      writeConcern: { w: 'majority', wtimeoutMS: timeoutMs },
    });
    this.registry = new Registry(this.database.collection('projections'));
  }

  async prepare(build: BuildName, schema: CollectionSchema): Promise<void> {
    const { name, version } = parsedBuild(build);
    if (name !== schema.name || version !== schema.version) {
      throw new TypeError(`${build} is not a build of ${schema.name} version ${schema.version}`);
    }
    await this.ask(async () => {
      await layOut(this.database, this.registry, build, schema);
      if ((await this.registry.served(name, version)) === build) await pointViews(this.database, this.registry, build);
    }, this.timeoutMs * LONG_CALL_TIMES);
  }

  builds(name: string, version: number): Promise<BuildInfo[]> {
    return this.ask(() => this.registry.builds(name, version));
  }

  served(name: string, version: number): Promise<BuildName | undefined> {
    return this.ask(() => this.registry.served(name, version));
  }

  /** `false` also where there is no such build. */
  serve(name: string, version: number, from: BuildName | undefined, build: BuildName): Promise<boolean> {
    return this.ask(async () => {
      const served = await this.registry.serve(name, version, from, build);
      if (served) await pointViews(this.database, this.registry, build);
      return served;
    });
  }

  async drop(build: BuildName): Promise<void> {
    await this.ask(async () => {
      if (await this.registry.remove(build)) await collectionOf(this.database, build).drop();
    });
  }

  async read<Doc>(build: BuildName, ids: readonly string[]): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(build, (collection) =>
      collection.find({ _id: { $in: ids } }, { batchSize: Math.max(1, ids.length) }).toArray(),
    );
  }

  /** An insert or a guarded replacement each. */
  async write(build: BuildName, writes: readonly DocumentWrite[]): Promise<string[]> {
    const collection = collectionOf(this.database, build);
    if (writes.length === 0) return [];
    return this.ask(async () => {
      await this.registry.expect(build);
      return (await wroteAll(collection, writes)) ? [] : missedBy(collection, writes);
    });
  }

  async find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]> {
    const { filter, options } = pageFind(query);
    return this.documents<Doc>(build, (collection) =>
      collection
        .find(filter, options)
        .toArray()
        .catch((error: unknown) => {
          throw hasCode(error, ServerCode.BadValue) ? new Error(`No index of ${build} serves this list`) : error;
        }),
    );
  }

  async count(build: BuildName): Promise<number> {
    const collection = collectionOf(this.database, build);
    // It walks through all of them: what it may take, the server must give up, too.
    const maxTimeMS = this.timeoutMs * LONG_CALL_TIMES;
    return this.ask(async () => {
      const documents = await collection.countDocuments({}, { maxTimeMS });
      if (documents === 0) await this.registry.expect(build);
      return documents;
    }, maxTimeMS);
  }

  async scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(build, (collection) =>
      collection.find({ _id: { $gt: afterId ?? '' } }, { sort: { _id: 1 }, limit, batchSize: limit }).toArray(),
    );
  }

  async checkpoint(build: BuildName): Promise<Checkpoint | undefined> {
    const found = await this.ask(() => this.registry.find(build));
    return found?.checkpoint;
  }

  advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean> {
    return this.ask(() => this.registry.advance(build, expected, next));
  }

  async lease(build: BuildName): Promise<Lease | undefined> {
    const found = await this.ask(() => this.registry.find(build));
    return found?.lease;
  }

  setLease(build: BuildName, expected: Lease | undefined, next: Lease): Promise<boolean> {
    return this.ask(() => this.registry.setLease(build, expected, next));
  }

  releaseLease(build: BuildName, holder: string): Promise<void> {
    return this.ask(() => this.registry.releaseLease(build, holder));
  }

  /** A read that needs the account's rights: a server answers `ping` to anybody. */
  async ping(): Promise<void> {
    await this.ask(() => this.registry.look());
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.allSettled(this.underway);
    await this.client.close();
  }

  /** None is believed only of a build that is there: MongoDB answers the same of a collection that is not. */
  private documents<Doc>(
    build: BuildName,
    find: (collection: Collection<StoredFields>) => Promise<StoredFields[]>,
  ): Promise<StoredDocument<Doc>[]> {
    const collection = collectionOf(this.database, build);
    return this.ask(async () => {
      const found = await find(collection);
      if (found.length === 0) await this.registry.expect(build);
      return found.map((fields) => documentOf<Doc>(fields));
    });
  }

  /** Throws what the port's callers know. What came too late may still be carried out. */
  private async ask<Answer>(work: () => Promise<Answer>, timeoutMs = this.timeoutMs): Promise<Answer> {
    if (this.closed) throw new ReadStoreUnavailable('The read store is closed');
    const answer = within(timeoutMs, work());
    this.underway.add(answer);
    try {
      return await answer;
    } catch (error) {
      throw translated(error);
    } finally {
      this.underway.delete(answer);
    }
  }
}

async function within<Answer>(timeoutMs: number, answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new ReadStoreUnavailable(`MongoDB does not answer within ${timeoutMs} ms`);
    timer = setTimeout(reject, timeoutMs, error);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the URL says of retries and time-outs is overruled. */
function clientOf(url: string, timeoutMs: number): MongoClient {
  try {
    return new MongoClient(url, {
      appName: 'consumer-clients',
      retryReads: false,
      retryWrites: false,
      serverSelectionTimeoutMS: timeoutMs,
      connectTimeoutMS: timeoutMs,
      waitQueueTimeoutMS: timeoutMs,
      socketTimeoutMS: timeoutMs * LONG_CALL_TIMES,
    });
  } catch {
    throw new TypeError('Not a connection string of MongoDB');
  }
}

const databaseOf = (url: string): string | undefined => /^[^:]+:\/\/[^/]+\/([^?]+)/.exec(url)?.[1];

function operationOf(write: DocumentWrite): AnyBulkWriteOperation<StoredFields> {
  const document = fieldsOf(write);
  if (write.expected === undefined) return { insertOne: { document } };
  const { _id, ...replacement } = document;
  return { replaceOne: { filter: { _id, _position: write.expected }, replacement } };
}

/** Whether every document was where its write expected it. */
async function wroteAll(collection: Collection<StoredFields>, writes: readonly DocumentWrite[]): Promise<boolean> {
  try {
    const result = await collection.bulkWrite(writes.map(operationOf), { ordered: false });
    return result.insertedCount + result.matchedCount === writes.length;
  } catch (error) {
    if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError() !== undefined) throw error;
    const failures = [error.writeErrors].flat();
    const onlyMisses = failures.length > 0 && failures.every(({ code }) => code === ServerCode.DuplicateKey);
    if (!onlyMisses) throw error;
    return false;
  }
}

/**
 * The ids of those that are not what was to be stored: a bulk tells only how many were. What another writer of the build
 * has stored alike, by the same fold of the same events, is done.
 */
async function missedBy(collection: Collection<StoredFields>, writes: readonly DocumentWrite[]): Promise<string[]> {
  const stored = await collection.find({ _id: { $in: writes.map(({ id }) => id) } }).toArray();
  const found = new Map(stored.map((fields) => [fields._id, fields]));
  return writes.filter((write) => !isDeepStrictEqual(found.get(write.id), asStored(write))).map(({ id }) => id);
}
