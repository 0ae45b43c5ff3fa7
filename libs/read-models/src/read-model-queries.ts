import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Checkpoint,
  type ConsistencyToken,
  type EventLog,
  RebuildNeeded,
  settledWithin,
  verifyCheckpoint,
} from '#event-log';
import { canonicalJson } from '#events';
import type { ReadModelStores } from './builds/projector.js';
import { ForeignConsistencyToken, InvalidCursor, NotCaughtUp, NotReady } from './errors.js';
import type { BuildName, FieldValue, PageQuery, ReadStore, StoredDocument } from './port.js';
import type { Projection } from './projections/projection.js';

/** Asks for one page of a list. `cursor` is the `nextCursor` of the previous page. */
export interface ListQuery extends Omit<PageQuery, 'after'> {
  readonly cursor?: string;
  /** Without a cursor, the list begins behind this place (see `PageQuery.after`). */
  readonly startAfter?: PageQuery['after'];
  /**
   * Merges the lists in which `field` has one of these values. If a document passes from one of the values to another,
   * the other one MUST come later in `values`: the lists are read one after the other, so such a document is in the
   * second list if it has left the first one meanwhile.
   */
  readonly anyOf?: { readonly field: string; readonly values: readonly FieldValue[] };
}

export interface Page<Doc> {
  readonly items: StoredDocument<Doc>[];
  /** This field is absent on the last page. */
  readonly nextCursor?: string;
}

/** One projection's served build, which queries read now. The methods throw `ReadStoreUnavailable`. */
export interface ServedReadModel<Doc> {
  get(id: string): Promise<StoredDocument<Doc> | undefined>;
  /** Returns the documents with these ids by their ids. Ids for which no document is stored are left out. */
  getAll(ids: readonly string[]): Promise<ReadonlyMap<string, Doc>>;
  /**
   * Throws `InvalidCursor`. The projection must have an index of the list's `equals` fields and the list's sort field.
   */
  page(list: ListQuery): Promise<Page<Doc>>;
  /** Returns the documents of a list, for callers that make their cursors themselves. The rules of `page` hold. */
  find(query: PageQuery): Promise<StoredDocument<Doc>[]>;
}

/** A build's checkpoint. `epoch` is the number of connections that the store had lost when the read began. */
interface CheckpointRead {
  readonly checkpoint: Checkpoint | undefined;
  readonly epoch: number;
}

export interface ReadModelQueriesOptions extends ReadModelStores {
  /** How long a query waits until the read model has reached the query's consistency token, in ms (default 2000). */
  readonly timeoutMs?: number;
  /** Milliseconds between two reads of a checkpoint while queries wait for the checkpoint to advance (default 5). */
  readonly pollMs?: number;
}

/**
 * Reads documents for queries from the served builds, in these steps:
 *
 * 1. Find the served build of this code's version of the projection.
 * 2. Verify that the build's checkpoint is a position of this log. Verify this once, and again after each lost
 *    connection to the log.
 * 3. If the query carries a consistency token, wait until the checkpoint has reached the token's position.
 * 4. Read documents. The documents are read after the checkpoint, so they are at least as new as the token.
 * 5. If a connection to the store was lost between steps 3 and 4, the store may have been restored to an older state.
 *    In this case go back to step 3.
 */
export class ReadModelQueries {
  private readonly log: EventLog;
  private readonly store: ReadStore;
  private readonly logId: string;
  private readonly timeoutMs: number;
  private readonly pollMs: number;
  private readonly checkpointReads = new Map<BuildName, Promise<CheckpointRead>>();
  /**
   * For each build: the log's epoch (number of lost connections) in which the build's checkpoint was found in the log.
   * Checkpoints that are stored later need no check, because the projector that stores them has verified the log
   * itself.
   */
  private readonly verified = new Map<BuildName, number>();
  private readonly verifications = new Map<BuildName, Promise<void>>();

  constructor({ log, store, logId, timeoutMs = 2_000, pollMs = 5 }: ReadModelQueriesOptions) {
    this.log = log;
    this.store = store;
    this.logId = logId;
    this.timeoutMs = timeoutMs;
    this.pollMs = pollMs;
  }

  /**
   * Returns the read model as soon as it is at least as new as `token`.
   * Throws `NotReady`, `NotCaughtUp`, `RebuildNeeded`, `ForeignConsistencyToken`, `ReadStoreUnavailable`,
   * `LogUnavailable`.
   */
  async at<Doc>(projection: Projection<Doc>, token?: ConsistencyToken): Promise<ServedReadModel<Doc>> {
    if (token && token.logId !== this.logId) throw new ForeignConsistencyToken();
    const { store } = this;
    const build = await this.served(projection);
    await this.verify(projection.name, build, token);
    const giveUpAt = performance.now() + this.timeoutMs;
    let epoch = token && (await this.caughtUp(projection.name, build, token, giveUpAt));
    const notOlder = async <Found>(read: () => Promise<Found>): Promise<Found> => {
      for (;;) {
        const found = await read();
        if (!token || store.connectionEpoch === epoch) return found;
        if (performance.now() >= giveUpAt) throw new NotCaughtUp(projection.name);
        epoch = await this.caughtUp(projection.name, build, token, giveUpAt);
      }
    };
    return {
      get: async (id) => (await notOlder(() => store.read<Doc>(build, [id])))[0],
      getAll: async (ids) => {
        const found = ids.length > 0 ? await notOlder(() => store.read<Doc>(build, ids)) : [];
        return new Map(found.map(({ id, doc }) => [id, doc]));
      },
      find: (query) => notOlder(() => store.find<Doc>(build, query)),
      page: (list) => notOlder(() => page(store, build, projection, list)),
    };
  }

  /**
   * Returns the build that queries read, for this code's version of the projection. Throws `NotReady`,
   * `ReadStoreUnavailable`.
   */
  private async served({ name, version }: Pick<Projection, 'name' | 'version'>): Promise<BuildName> {
    const build = await this.store.served(name, version);
    if (build === undefined) throw new NotReady(name);
    return build;
  }

  /**
   * Refuses documents that were folded from another log, or from events that a restored log has lost. After a lost
   * connection to the log, the build is verified again. Queries with a token wait for this verification, and queries
   * without a token do not wait.
   */
  private async verify(projection: string, build: BuildName, token: ConsistencyToken | undefined): Promise<void> {
    while (this.verified.get(build) !== this.log.connectionEpoch) {
      const verification = this.verification(projection, build);
      if (!token && this.verified.has(build)) return;
      if (!(await settledWithin(verification, this.timeoutMs))) throw new NotCaughtUp(projection);
      await verification;
    }
  }

  private verification(projection: string, build: BuildName): Promise<void> {
    const underway = this.verifications.get(build);
    if (underway) return underway;
    const verification = this.findInLog(projection, build).finally(() => this.verifications.delete(build));
    verification.catch(() => undefined); // Code that awaits `verification` gets the error.
    this.verifications.set(build, verification);
    return verification;
  }

  private async findInLog(projection: string, build: BuildName): Promise<void> {
    const { log, logId, store } = this;
    const { connectionEpoch } = log;
    try {
      await verifyCheckpoint(projection, log, logId, await store.checkpoint(build));
      this.verified.set(build, connectionEpoch);
    } catch (error) {
      if (error instanceof RebuildNeeded) this.verified.delete(build);
      throw error;
    }
  }

  /**
   * Waits until the build has reached the token. Returns the store's epoch (number of lost connections) in which the
   * checkpoint was read. Throws `NotCaughtUp`.
   */
  private async caughtUp(
    projection: string,
    build: BuildName,
    { position }: ConsistencyToken,
    giveUpAt: number,
  ): Promise<number> {
    for (;;) {
      const { checkpoint, epoch } = await this.checkpoint(build);
      if (checkpoint?.logId === this.logId && checkpoint.position >= position) return epoch;
      if (performance.now() >= giveUpAt) throw new NotCaughtUp(projection);
      await delay(this.pollMs);
    }
  }

  /**
   * All queries that wait share one read of the checkpoint. This read may have begun before a query came, so the
   * checkpoint may be too old for that query. The query then reads the checkpoint again.
   */
  private checkpoint(build: BuildName): Promise<CheckpointRead> {
    const underway = this.checkpointReads.get(build);
    if (underway) return underway;
    const epoch = this.store.connectionEpoch;
    const read = this.store
      .checkpoint(build)
      .then((checkpoint) => ({ checkpoint, epoch }))
      .finally(() => this.checkpointReads.delete(build));
    this.checkpointReads.set(build, read);
    return read;
  }
}

async function page<Doc>(
  store: ReadStore,
  build: BuildName,
  projection: Projection<Doc>,
  { cursor, startAfter, ...list }: ListQuery,
): Promise<Page<Doc>> {
  const listId = listIdOf(projection.name, list);
  const after = cursor === undefined ? startAfter : parseCursor(listId, cursor);
  const found = await findAny<Doc>(store, build, { ...list, ...(after && { after }), limit: list.limit + 1 });
  const items = found.slice(0, list.limit);
  const last = items.at(-1);
  return found.length > items.length && last ? { items, nextCursor: cursorBehind(last, list, listId) } : { items };
}

/** Returns one page of the merged lists, each document once: as the last of the lists has it. */
async function findAny<Doc>(
  store: ReadStore,
  build: BuildName,
  { anyOf, ...query }: PageQuery & Pick<ListQuery, 'anyOf'>,
): Promise<StoredDocument<Doc>[]> {
  if (!anyOf) return store.find<Doc>(build, query);
  const found = new Map<string, StoredDocument<Doc>>();
  for (const value of anyOf.values) {
    const equals = { ...query.equals, [anyOf.field]: value };
    for (const document of await store.find<Doc>(build, { ...query, equals })) found.set(document.id, document);
  }
  return [...found.values()].sort(inOrderOf(query)).slice(0, query.limit);
}

/** Compares documents as the stores sort them: strings by code point, and equal values by the documents' ids. */
const inOrderOf =
  ({ sort }: PageQuery) =>
  (one: StoredDocument, other: StoredDocument): number => {
    const [first, second] = [one, other].map(({ doc }) => (doc as Record<string, FieldValue>)[sort.field]);
    const ascending = compareValues(first, second) || compareValues(one.id, other.id);
    return sort.direction === 'asc' ? ascending : -ascending;
  };

const compareValues = (one: FieldValue | undefined, other: FieldValue | undefined): number =>
  typeof one === 'string' && typeof other === 'string'
    ? Buffer.compare(Buffer.from(one), Buffer.from(other))
    : Number(one) - Number(other);

/**
 * Returns an id of the list. Queries with the same sort and the same filters get the same id, even if their page sizes
 * differ.
 */
const listIdOf = (projection: string, { limit: _, ...list }: ListQuery): string =>
  createHash('sha256')
    .update(canonicalJson([projection, list]))
    .digest('base64url')
    .slice(0, 16);

function cursorBehind({ id, doc }: StoredDocument, { sort }: PageQuery, listId: string): string {
  const value = (doc as Record<string, FieldValue>)[sort.field];
  return Buffer.from(JSON.stringify([listId, value, id])).toString('base64url');
}

function parseCursor(listId: string, cursor: string): NonNullable<PageQuery['after']> {
  const parsed = parsedJson(Buffer.from(cursor, 'base64url').toString());
  if (!Array.isArray(parsed)) throw new InvalidCursor();
  const [ofList, value, id] = parsed as unknown[];
  if (ofList !== listId || !isFieldValue(value) || typeof id !== 'string') throw new InvalidCursor();
  return { value, id };
}

const isFieldValue = (value: unknown): value is FieldValue =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

/** Also refuses numbers and texts that JSON can express, but stores can't compare (`1e999`, lone surrogates). */
function parsedJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    canonicalJson(value);
    return value;
  } catch {
    throw new InvalidCursor();
  }
}
