import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConsistencyToken, EventLog } from '#event-log';
import { canonicalJson } from '#events';
import { ForeignConsistencyToken, InvalidCursor, NotCaughtUp, NotReady, RebuildNeeded } from './errors.js';
import { settledWithin, verifyCheckpoint } from './log-follower.js';
import type { BuildName, Checkpoint, FieldValue, PageQuery, ReadStore, StoredDocument } from './port.js';
import type { Projection } from './projection.js';
import type { ReadModelStores } from './projector.js';

/** A list and the page of it that is wanted; `cursor` is the `nextCursor` of the page before. */
export interface ListQuery extends Omit<PageQuery, 'after'> {
  readonly cursor?: string;
}

export interface Page<Doc> {
  readonly items: StoredDocument<Doc>[];
  /** Absent on the last page. */
  readonly nextCursor?: string;
}

/** One projection as it is served now. Throws `ReadStoreUnavailable`. */
export interface ServedReadModel<Doc> {
  get(id: string): Promise<StoredDocument<Doc> | undefined>;
  /** Throws `InvalidCursor`. The list needs an index of the projection: its `equals`, then its sort. */
  page(list: ListQuery): Promise<Page<Doc>>;
}

export interface ReadModelQueriesOptions extends ReadModelStores {
  /** How long a query waits for its consistency token, in milliseconds (default 2000). */
  readonly patienceMs?: number;
  /** Milliseconds between looks at a checkpoint while queries wait for it (default 5). */
  readonly pollMs?: number;
}

/** What queries are answered from. */
export class ReadModelQueries {
  private readonly log: EventLog;
  private readonly store: ReadStore;
  private readonly logId: string;
  private readonly patienceMs: number;
  private readonly pollMs: number;
  private readonly checkpointReads = new Map<BuildName, Promise<Checkpoint | undefined>>();
  /**
   * Builds whose checkpoint was found in the log, by how often that had been out of reach then; what moves a checkpoint
   * from there is a projector that looked as well.
   */
  private readonly verified = new Map<BuildName, number>();
  private readonly verifications = new Map<BuildName, Promise<void>>();

  constructor({ log, store, logId, patienceMs = 2_000, pollMs = 5 }: ReadModelQueriesOptions) {
    this.log = log;
    this.store = store;
    this.logId = logId;
    this.patienceMs = patienceMs;
    this.pollMs = pollMs;
  }

  /**
   * The projection, with everything in it that `token` stands for: what is read from it afterwards is at least as new.
   * Throws `NotReady`, `NotCaughtUp`, `RebuildNeeded`, `ForeignConsistencyToken`, `ReadStoreUnavailable`,
   * `LogUnavailable`.
   */
  async at<Doc>(projection: Projection<Doc>, token?: ConsistencyToken): Promise<ServedReadModel<Doc>> {
    if (token && token.logId !== this.logId) throw new ForeignConsistencyToken();
    const { store } = this;
    const build = await this.served(projection);
    await this.verify(projection.name, build, token);
    if (token) await this.caughtUp(projection.name, build, token);
    return {
      get: async (id) => (await store.read<Doc>(build, [id]))[0],
      page: (list) => page(store, build, projection, list),
    };
  }

  /** The build that this code's version is served from. Throws `NotReady`, `ReadStoreUnavailable`. */
  async served({ name, version }: Pick<Projection, 'name' | 'version'>): Promise<BuildName> {
    const build = await this.store.served(name, version);
    if (build === undefined) throw new NotReady(name);
    return build;
  }

  /**
   * Documents that were folded of another past than the log's must not pass for the present. After an outage of the log
   * a query with a token waits until that is known again; one without is answered as before until then.
   */
  private async verify(projection: string, build: BuildName, token: ConsistencyToken | undefined): Promise<void> {
    while (this.verified.get(build) !== this.log.interruptions) {
      const verification = this.verification(projection, build);
      if (!token && this.verified.has(build)) return;
      if (!(await settledWithin(verification, this.patienceMs))) throw new NotCaughtUp(projection);
      await verification;
    }
  }

  private verification(projection: string, build: BuildName): Promise<void> {
    const underway = this.verifications.get(build);
    if (underway) return underway;
    const verification = this.findInLog(projection, build).finally(() => this.verifications.delete(build));
    verification.catch(() => undefined); // Those who wait for it learn why.
    this.verifications.set(build, verification);
    return verification;
  }

  private async findInLog(projection: string, build: BuildName): Promise<void> {
    const { log, logId, store } = this;
    const { interruptions } = log;
    try {
      await verifyCheckpoint(projection, log, logId, await store.checkpoint(build));
      this.verified.set(build, interruptions);
    } catch (error) {
      if (error instanceof RebuildNeeded) this.verified.delete(build);
      throw error;
    }
  }

  private async caughtUp(projection: string, build: BuildName, { position }: ConsistencyToken): Promise<void> {
    const giveUpAt = performance.now() + this.patienceMs;
    for (;;) {
      const checkpoint = await this.checkpoint(build);
      if (checkpoint?.logId === this.logId && checkpoint.position >= position) return;
      if (performance.now() >= giveUpAt) throw new NotCaughtUp(projection);
      await delay(this.pollMs);
    }
  }

  /** Shared by all who wait: one that was read a moment before a query came is at worst too old, and read again. */
  private checkpoint(build: BuildName): Promise<Checkpoint | undefined> {
    const underway = this.checkpointReads.get(build);
    if (underway) return underway;
    const read = this.store.checkpoint(build).finally(() => this.checkpointReads.delete(build));
    this.checkpointReads.set(build, read);
    return read;
  }
}

async function page<Doc>(
  store: ReadStore,
  build: BuildName,
  projection: Projection<Doc>,
  { cursor, ...list }: ListQuery,
): Promise<Page<Doc>> {
  const listId = listIdOf(projection.name, list);
  const after = cursor === undefined ? undefined : parseCursor(listId, cursor);
  const found = await store.find<Doc>(build, { ...list, ...(after && { after }), limit: list.limit + 1 });
  const items = found.slice(0, list.limit);
  const last = items.at(-1);
  return found.length > items.length && last ? { items, nextCursor: cursorBehind(last, list, listId) } : { items };
}

/** What makes a list: another sort or filter is another list, another page size is not. */
const listIdOf = (projection: string, { limit: _, ...list }: PageQuery): string =>
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

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidCursor();
  }
}
