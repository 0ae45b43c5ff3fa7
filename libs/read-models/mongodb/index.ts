import { isDeepStrictEqual } from 'node:util';
import {
  type AnyBulkWriteOperation,
  BSON,
  type Collection,
  type Db,
  MongoClient,
  MongoServerError,
  ReadConcern,
} from 'mongodb';
import { type Checkpoint, isSameCheckpoint, readNamedFile } from '#event-log';
import {
  type BuildInfo,
  type BuildName,
  type CollectionSchema,
  type DocumentWrite,
  gramsIn,
  type Lease,
  type Load,
  MAX_CANDIDATES,
  type PageQuery,
  parsedBuild,
  type ProjectionVersion,
  type ReadStore,
  ReadStoreUnavailable,
  type StoredDocument,
} from '#read-models';
import { asStored, collectionOf, documentOf, fieldsOf, PLAIN_VALUES, type StoredFields } from './documents.js';
import { asPortError, errorOfCall, hasCode, isOnlyMisses, ServerCode } from './errors.js';
import { Features } from './features.js';
import { layOut, nextBuild } from './layout.js';
import { candidateFind, gramCount, pageFind } from './page.js';
import { type Part, partsOf } from './parts.js';
import { Registry } from './registry.js';
import { missingActions, RIGHTS } from './rights.js';
import { UnreachableServers } from './unreachable-servers.js';
import { validatorOf } from './validation.js';
import { pointViews } from './views.js';

export { pageFind, type StoredFields, validatorOf };

export interface MongoReadStoreOptions {
  /** A MongoDB connection string (https://www.mongodb.com/docs/manual/reference/connection-string/). */
  readonly url: string;
  /** Name of the database. Default: the database that `url` names, otherwise `consumer_clients`. */
  readonly database?: string;
  /**
   * How long a call may take, in ms (default 5000). A call with many or large documents may take longer, up to ten times
   * as long, and so may a call that makes indexes or counts documents.
   */
  readonly timeoutMs?: number;
  /** Is told, once each, what this server does not have and the service does without. */
  readonly onWarning?: (message: string) => void;
  /** The rights that the account must have from the start (default: none is tried). */
  readonly rights?: keyof typeof RIGHTS;
}

const DEFAULT_DATABASE = 'consumer_clients';
/** Number of calls of a load that are under way at once. */
const PARTS_AT_ONCE = 4;
/** Number of grams of a searched text that are counted, all at once. */
const GRAMS_OF_SEARCH = 4;
/** A call that walks through a whole collection may take this many times as long as other calls. */
const LONG_CALL_TIMES = 10;
/** For every so many documents, and for every so many bytes that are written, a call gets its time once more. */
const DOCUMENTS_PER_TIMEOUT = 250;
const BYTES_PER_TIMEOUT = 8 * 1024 * 1024;
/** The kinds of server that read from the primary's data, as the driver names them. `Unknown`: it does not answer. */
const PRIMARIES: ReadonlySet<string> = new Set(['Standalone', 'RSPrimary', 'Mongos', 'LoadBalancer', 'Unknown']);
/**
 * The driver's events that tell of a lost connection. If the server was away, the driver emits at least one of these
 * events before the next call reaches the server.
 */
const CONNECTION_LOSSES = ['connectionPoolCleared', 'connectionClosed', 'serverHeartbeatFailed'] as const;

/**
 * Opens the read models in a MongoDB database (4.4 or newer). A majority of the nodes acknowledges every write. Every
 * read comes from the primary and sees only data that a majority has. Retries are left to the caller. Several processes
 * may use the database.
 * Throws `ReadStoreUnavailable`, `TypeError` for an invalid connection string, and Node's error for a file that the
 * string names and that can't be read.
 */
export async function openMongoReadStore(options: MongoReadStoreOptions): Promise<ReadStore> {
  const store = new MongoReadStore(options);
  try {
    await store.ping();
    if (options.rights) await store.requireRights(RIGHTS[options.rights]);
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
  private readonly features: Features;
  private readonly timeoutMs: number;
  private readonly underway = new Set<Promise<unknown>>();
  private readonly unreachable: UnreachableServers;
  private closed = false;
  private lostConnections = 0;
  /** The kind of the server that a direct connection leads to; `undefined` if the driver looks for the primary. */
  private directServer: string | undefined;

  constructor({ url, database, timeoutMs = 5_000, onWarning = () => undefined }: MongoReadStoreOptions) {
    this.timeoutMs = timeoutMs;
    this.client = clientOf(url, timeoutMs);
    this.unreachable = new UnreachableServers(this.client);
    for (const event of CONNECTION_LOSSES) this.client.on(event, () => this.lostConnections++);
    if (this.client.options.directConnection) {
      this.client.on('serverDescriptionChanged', ({ newDescription }) => (this.directServer = newDescription.type));
    }
    const named = namesDatabase(url) ? this.client.options.dbName : DEFAULT_DATABASE;
    this.database = this.client.db(database ?? named, {
      readPreference: 'primary',
      readConcern: new ReadConcern('majority'),
      writeConcern: { w: 'majority', wtimeoutMS: timeoutMs },
    });
    this.registry = new Registry(this.database.collection('projections'));
    this.features = new Features(this.database, onWarning);
  }

  get connectionEpoch(): number {
    return this.lostConnections;
  }

  async prepare(build: BuildName, schema: CollectionSchema): Promise<void> {
    const { name, version } = parsedBuild(build);
    if (name !== schema.name || version !== schema.version) {
      throw new TypeError(`${build} is not a build of ${schema.name} version ${schema.version}`);
    }
    await this.ask(async () => {
      await layOut(this.features, this.registry, build, schema);
      if ((await this.registry.served(name, version)) === build) await pointViews(this.features, this.registry, schema);
    }, this.timeoutMs * LONG_CALL_TIMES);
  }

  /** The indexes are created at once: MongoDB's clients would time out while it makes indexes of many documents. */
  prepareToLoad(build: BuildName, schema: CollectionSchema): Promise<void> {
    return this.prepare(build, schema);
  }

  nextBuild(schema: ProjectionVersion): Promise<BuildName> {
    return this.ask(() => nextBuild(this.database, this.registry, schema));
  }

  builds(name: string, version: number): Promise<BuildInfo[]> {
    return this.ask(() => this.registry.builds(name, version));
  }

  served(name: string, version: number): Promise<BuildName | undefined> {
    return this.ask(() => this.registry.served(name, version));
  }

  serve(schema: CollectionSchema, from: BuildName | undefined, build: BuildName): Promise<boolean> {
    return this.ask(async () => {
      const served = await this.registry.serve(schema.name, schema.version, from, build);
      if (served) await pointViews(this.features, this.registry, schema);
      return served;
    });
  }

  async drop(build: BuildName): Promise<void> {
    await this.ask(async () => {
      if (await this.registry.remove(build)) await collectionOf(this.database, build).drop();
    });
  }

  async read<Doc>(build: BuildName, ids: readonly string[]): Promise<StoredDocument<Doc>[]> {
    const found: StoredDocument<Doc>[] = [];
    for (const { items } of partsOf(ids, bytesOfId)) {
      const options = { batchSize: Math.max(1, items.length) };
      const find = (collection: Collection<StoredFields>) =>
        collection.find({ _id: { $in: items } }, options).toArray();
      found.push(...(await this.documents<Doc>(build, find, items.length)));
    }
    return found;
  }

  /** Inserts each new document. Replaces a stored document only if that document is at the expected position. */
  async write(build: BuildName, writes: readonly DocumentWrite[]): Promise<string[]> {
    const missed: string[] = [];
    for (const part of partsOf(writes, bytesOfWrite)) missed.push(...(await this.writePart(build, part)));
    return missed;
  }

  /**
   * Writes the documents in parts, so that no call takes long, and several parts at once, so that the server need not
   * wait for the next part. Each part holds documents whose ids follow one another. If a part fails, the others of its
   * round are awaited nevertheless.
   */
  async load(build: BuildName, { writes, expected, next }: Load): Promise<boolean> {
    const found = await this.ask(() => this.registry.find(build));
    if (!found || !isSameCheckpoint(found.checkpoint, expected)) return false;
    const sorted = writes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const parts = partsOf(sorted, bytesOfWrite);
    for (let first = 0; first < parts.length; first += PARTS_AT_ONCE) {
      const together = parts.slice(first, first + PARTS_AT_ONCE);
      const results = await Promise.allSettled(together.map((part) => this.writePart(build, part)));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
      if (results.some((result) => result.status === 'fulfilled' && result.value.length > 0)) return false;
    }
    return this.advance(build, expected, next);
  }

  async find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]> {
    const gram = await this.rarestGram(build, query);
    const { filter, options } =
      gram === undefined || !query.inside ? pageFind(query) : candidateFind(query, query.inside.grams, gram);
    // A search may walk past many documents. The server must stop the walk, too, when the time of this call is over.
    return this.documents<Doc>(build, (collection) =>
      collection
        .find(filter, { ...options, maxTimeMS: this.timeoutMs })
        .toArray()
        .catch((error: unknown) => {
          throw hasCode(error, ServerCode.BadValue) ? new Error(`No index of ${build} serves this list`) : error;
        }),
    );
  }

  /**
   * Returns the gram of the searched text that the fewest documents have; `undefined` if each of them is frequent, or if
   * no grams are searched.
   */
  private async rarestGram(build: BuildName, { equals, inside, contains }: PageQuery): Promise<string | undefined> {
    if (inside === undefined || contains !== undefined) return undefined;
    const collection = collectionOf(this.database, build);
    const grams = gramsIn(inside.value, GRAMS_OF_SEARCH);
    const counts = await this.ask(() =>
      Promise.all(
        grams.map((gram) => {
          const { filter, options } = gramCount(equals, inside.grams, gram);
          return collection.countDocuments(filter, { ...options, maxTimeMS: this.timeoutMs });
        }),
      ),
    );
    const fewest = Math.min(...counts);
    return fewest <= MAX_CANDIDATES ? grams[counts.indexOf(fewest)] : undefined;
  }

  async count(build: BuildName): Promise<number> {
    const collection = collectionOf(this.database, build);
    // Counting walks through all documents. The server must stop the counting, too, when the time of this call is over.
    const maxTimeMS = this.timeoutMs * LONG_CALL_TIMES;
    return this.ask(async () => {
      const documents = await collection.countDocuments({}, { maxTimeMS });
      if (documents === 0) await this.registry.expect(build);
      return documents;
    }, maxTimeMS);
  }

  async scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(
      build,
      (collection) =>
        collection.find({ _id: { $gt: afterId ?? '' } }, { sort: { _id: 1 }, limit, batchSize: limit }).toArray(),
      limit,
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

  /**
   * Reads a collection instead of sending MongoDB's own `ping` command. A server accepts that command from anybody, but
   * a read needs the account's rights.
   */
  async ping(): Promise<void> {
    await this.ask(() => this.registry.look());
  }

  /** Throws `ReadStoreUnavailable`, which names the missing rights, if the account lacks some of these. */
  async requireRights(actions: readonly string[]): Promise<void> {
    const missing = await this.ask(() => missingActions(this.database, actions));
    if (missing.length === 0) return;
    const what = `the rights ${missing.join(', ')} on database ${this.database.databaseName}`;
    throw new ReadStoreUnavailable(`The account in MONGODB_URL lacks ${what}`, { needsOperator: true });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.allSettled(this.underway);
    await this.client.close();
  }

  /** Writes documents that one call can carry. Returns the ids of those that were not written. */
  private async writePart(build: BuildName, { items: writes, bytes }: Part<DocumentWrite>): Promise<readonly string[]> {
    if (writes.length === 0) return [];
    const collection = collectionOf(this.database, build);
    const timeoutMs = this.timeoutFor(writes.length, bytes);
    return this.ask(async () => {
      await this.registry.expect(build);
      return (await wroteAll(collection, writes, timeoutMs)) ? [] : missedBy(collection, writes);
    }, timeoutMs);
  }

  /**
   * Returns the documents that `find` has found. MongoDB returns an empty result for a missing collection, too, so an
   * empty result is returned only if the build exists.
   */
  private documents<Doc>(
    build: BuildName,
    find: (collection: Collection<StoredFields>) => Promise<StoredFields[]>,
    count = 0,
  ): Promise<StoredDocument<Doc>[]> {
    const collection = collectionOf(this.database, build);
    return this.ask(async () => {
      const found = await find(collection);
      if (found.length === 0) await this.registry.expect(build);
      return found.map((fields) => documentOf<Doc>(fields));
    }, this.timeoutFor(count));
  }

  /** How long a call with this many documents, and this many bytes to write, may take, in ms. */
  private timeoutFor(documents: number, bytes = 0): number {
    const times = 1 + Math.floor(documents / DOCUMENTS_PER_TIMEOUT + bytes / BYTES_PER_TIMEOUT);
    return this.timeoutMs * Math.min(times, LONG_CALL_TIMES);
  }

  /**
   * Discards what a direct connection has read from a secondary, which may be behind: the driver lets any server answer
   * on such a connection. Its kind is known once it has answered.
   */
  private refuseSecondary(): void {
    if (this.directServer === undefined || PRIMARIES.has(this.directServer)) return;
    throw new ReadStoreUnavailable(
      `MongoDB is not the primary here (${this.directServer}), and directConnection forbids to look for it`,
    );
  }

  /** Runs `work` with a time limit and translates its errors. MongoDB may still carry out a call that took too long. */
  private async ask<Answer>(work: () => Promise<Answer>, timeoutMs = this.timeoutMs): Promise<Answer> {
    if (this.closed) throw new ReadStoreUnavailable('The read store is closed');
    const answer = within(timeoutMs, work());
    this.underway.add(answer);
    try {
      const result = await answer;
      this.refuseSecondary();
      return result;
    } catch (error) {
      const shown = asPortError(error);
      throw errorOfCall(error) instanceof MongoServerError ? shown : await this.unreachable.explain(shown);
    } finally {
      this.underway.delete(answer);
    }
  }
}

const bytesOfId = (id: string): number => Buffer.byteLength(id);
const bytesOfWrite = (write: DocumentWrite): number => BSON.calculateObjectSize(fieldsOf(write));

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

/**
 * Makes a client. The options below override those of the URL: retries, timeouts, and options that change the form of
 * what is read or written.
 */
function clientOf(url: string, timeoutMs: number): MongoClient {
  let client: MongoClient;
  try {
    client = new MongoClient(url, {
      appName: 'consumer-clients',
      retryReads: false,
      retryWrites: false,
      serverSelectionTimeoutMS: timeoutMs,
      connectTimeoutMS: timeoutMs,
      waitQueueTimeoutMS: timeoutMs,
      socketTimeoutMS: timeoutMs * LONG_CALL_TIMES,
      ...PLAIN_VALUES,
    });
  } catch {
    throw new TypeError('Not a connection string of MongoDB');
  }
  // The driver reads these files only when it connects, and its error would look like an outage.
  const { tlsCAFile, tlsCRLFile, tlsCertificateKeyFile } = client.options;
  for (const file of [tlsCAFile, tlsCRLFile, tlsCertificateKeyFile]) if (file !== undefined) readNamedFile(file);
  return client;
}

/** Returns whether the connection string names a database. Its user part may contain a slash, as in the driver. */
const namesDatabase = (url: string): boolean => /^[^/]+:\/\/(?:[^:@]*(?::[^@]*)?@)?[^/?@]+\/[^?]/.test(url);

function operationOf(write: DocumentWrite): AnyBulkWriteOperation<StoredFields> {
  const document = fieldsOf(write);
  if (write.expected === undefined) return { insertOne: { document } };
  const { _id, ...replacement } = document;
  return { replaceOne: { filter: { _id, _position: write.expected }, replacement } };
}

/** Returns whether all documents were written. */
async function wroteAll(
  collection: Collection<StoredFields>,
  writes: readonly DocumentWrite[],
  timeoutMs: number,
): Promise<boolean> {
  try {
    const writeConcern = { w: 'majority', wtimeoutMS: timeoutMs } as const;
    const result = await collection.bulkWrite(writes.map(operationOf), { ordered: false, writeConcern });
    return result.insertedCount + result.matchedCount === writes.length;
  } catch (error) {
    if (isOnlyMisses(error)) return false;
    throw error;
  }
}

/**
 * Returns the ids of the documents that were not written. (The result of a bulk write tells only their number.) A
 * document counts as written if the stored document is the same, even if another process stored that document.
 */
async function missedBy(collection: Collection<StoredFields>, writes: readonly DocumentWrite[]): Promise<string[]> {
  const stored = await collection.find({ _id: { $in: writes.map(({ id }) => id) } }).toArray();
  const found = new Map(stored.map((fields) => [fields._id, fields]));
  return writes.filter((write) => !isDeepStrictEqual(found.get(write.id), asStored(write))).map(({ id }) => id);
}
