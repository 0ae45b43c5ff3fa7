import { setImmediate } from 'node:timers/promises';
import { becauseOf, type Checkpoint } from '#event-log';
import {
  type BuildInfo,
  type BuildName,
  buildName,
  type CollectionSchema,
  type DocumentWrite,
  type FieldValue,
  type Lease,
  type Load,
  type PageQuery,
  parsedBuild,
  type ProjectionVersion,
  type ReadStore,
  ReadStoreUnavailable,
  type StoredDocument,
} from '#read-models';
import type { Connection, SqlValue } from './connection.js';
import { moveAsideIfDamaged } from './damaged-file.js';
import { openToRead, tableOf } from './layout.js';
import { candidatesStatement, endOfPieceStatement, pageStatement, type Statement, walkStatement } from './page.js';
import type { DocumentRow, WriterOptions, WriterRequest } from './writer-protocol.js';
import { WriterThread } from './writer-thread.js';

export { pageStatement, walkStatement };

export interface SqliteReadStoreOptions {
  /** Path of a file that only read stores use. A missing file is created, but its directory must exist. */
  readonly file: string;
  /** How long a write waits for a write of another process, in ms (default 5000). */
  readonly busyTimeoutMs?: number;
  /**
   * If given, a file that is not a read store, or is damaged, is renamed, and a new one is made. Is told so in a
   * sentence.
   */
  readonly onMovedAside?: ((sentence: string) => void) | undefined;
}

/**
 * How long a read waits for a lock, in ms. In WAL mode a read never waits for a writer. A read waits only while a
 * process recovers or closes the file, and the wait blocks the reading thread.
 */
const READ_BUSY_TIMEOUT_MS = 250;
/** Number of documents that are counted before other work on the event loop gets a turn. This takes a few ms. */
const COUNTED_AT_ONCE = 10_000;
/** Number of documents of a load that are sent to the writer thread at once. */
const DOCUMENTS_PER_PART = 500;
const CLOSED = 'The read store is closed';

/**
 * Opens the read models in an SQLite file (WAL, `synchronous=NORMAL`). A power cut may lose documents; they are then
 * folded from the log again. Several processes may use the file. If the file was replaced or removed, the next call
 * notices this and opens the new file. Throws `ReadStoreUnavailable`, also if the file is not a read store.
 */
export async function openSqliteReadStore({
  file,
  busyTimeoutMs = 5_000,
  onMovedAside,
}: SqliteReadStoreOptions): Promise<ReadStore> {
  const moved = onMovedAside && moveAsideIfDamaged(file);
  if (moved !== undefined) onMovedAside?.(moved);
  const store = new SqliteReadStore({ file, busyTimeoutMs });
  try {
    await store.ping();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/** Returns the id of the log that the read models in the file were built from; `undefined` if the file has none. */
export function logOfReadModels(file: string): string | undefined {
  const connection = openToRead(file, READ_BUSY_TIMEOUT_MS);
  try {
    const [build] = connection?.all<{ log_id: string }>('SELECT log_id FROM builds WHERE log_id IS NOT NULL') ?? [];
    return build?.log_id;
  } finally {
    connection?.close();
  }
}

interface StoredRow {
  readonly id: string;
  readonly position: string;
  readonly revision: bigint;
  readonly doc: string;
}

interface CheckpointRow {
  readonly log_id: string | null;
  readonly position: string | null;
  readonly event_id: string | null;
  readonly next_ordinal: bigint | null;
}

/** Writes on a separate thread, which the first write starts, and reads on the calling thread. */
class SqliteReadStore implements ReadStore {
  readonly connectionEpoch = 0;
  private readonly writer: WriterThread;
  private reader: Connection | undefined;
  private creating: Promise<void> | undefined;
  private closed = false;

  constructor(private readonly options: WriterOptions) {
    this.writer = new WriterThread(options);
  }

  /**
   * Each request creates at most one index, because a large build's indexes take many seconds, and other writes wait
   * for the request's transaction.
   */
  async prepare(build: BuildName, schema: CollectionSchema, signal?: AbortSignal): Promise<void> {
    const sent = sentSchema(build, schema);
    while ((await this.request({ type: 'prepare', build, schema: sent })).length > 0) signal?.throwIfAborted();
  }

  async prepareToLoad(build: BuildName, schema: CollectionSchema): Promise<void> {
    await this.request({ type: 'prepare to load', build, schema: sentSchema(build, schema) });
  }

  /** A build is dropped in one transaction, so the name of a dropped build may be used again. */
  async nextBuild(schema: ProjectionVersion): Promise<BuildName> {
    const [row] = await this.all<{ last: bigint | null }>(
      'SELECT max(number) AS last FROM builds WHERE name = ? AND version = ?',
      ...[schema.name, schema.version],
    );
    return buildName(schema, Number(row?.last ?? 0) + 1);
  }

  async builds(name: string, version: number): Promise<BuildInfo[]> {
    const rows = await this.all<CheckpointRow & { build: BuildName; served: bigint }>(
      `SELECT build, log_id, position, event_id, next_ordinal,
         EXISTS (SELECT 1 FROM served WHERE served.build = builds.build) AS served
       FROM builds WHERE name = ? AND version = ? ORDER BY number`,
      ...[name, version],
    );
    return rows.map((row) => ({ build: row.build, checkpoint: checkpointOf(row), served: row.served === 1n }));
  }

  async served(name: string, version: number): Promise<BuildName | undefined> {
    const rows = await this.all<{ build: BuildName }>(
      'SELECT build FROM served WHERE name = ? AND version = ?',
      ...[name, version],
    );
    return rows[0]?.build;
  }

  async serve({ name, version }: CollectionSchema, from: BuildName | undefined, build: BuildName): Promise<boolean> {
    const misses = await this.request({ type: 'serve', name, version, from, build });
    return misses.length === 0;
  }

  async drop(build: BuildName): Promise<void> {
    const misses = await this.request({ type: 'drop', build });
    if (misses.length > 0) throw new Error(`${build} is served, so it can't be dropped`);
  }

  async read<Doc>(build: BuildName, ids: readonly string[]): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(
      `SELECT id, position, revision, doc FROM ${tableOf(build)} WHERE id IN (SELECT value FROM json_each(?))`,
      JSON.stringify(ids),
    );
  }

  async write(build: BuildName, writes: readonly DocumentWrite[]): Promise<string[]> {
    return [...(await this.request({ type: 'write', build, rows: rowsOf(writes) }))];
  }

  /**
   * Sends the documents to the writer thread in parts, so that other code can run in between. The parts are not answered:
   * the thread may be busy with another load, and the documents would stay in memory until it is done.
   */
  async load(build: BuildName, { writes, expected, next }: Load): Promise<boolean> {
    const load = this.writer.newLoad();
    for (let from = 0; from < writes.length; from += DOCUMENTS_PER_PART) {
      this.requireOpen();
      this.writer.gather({ load, rows: rowsOf(writes.slice(from, from + DOCUMENTS_PER_PART)) });
      await setImmediate();
    }
    const misses = await this.request({ type: 'load', load, documents: writes.length, build, expected, next });
    return misses.length === 0;
  }

  async find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]> {
    if (query.inside === undefined) return this.documentsOf<Doc>(pageStatement(build, query));
    const candidates = candidatesStatement(build, query);
    if (
      candidates &&
      (await this.all<{ few: bigint }>(candidates.count.sql, ...candidates.count.params))[0]?.few === 1n
    ) {
      return this.documentsOf<Doc>(candidates.page);
    }
    return this.walkInside<Doc>(build, query);
  }

  /** Walks along the list piece by piece, so that a long walk does not block this thread. */
  private async walkInside<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]> {
    const found: StoredDocument<Doc>[] = [];
    for (let { after } = query; ;) {
      const piece = { ...query, ...(after && { after }), limit: query.limit - found.length };
      const [last] = await this.documentsOf<Record<string, FieldValue>>(endOfPieceStatement(build, piece));
      const end = last && { value: last.doc[query.sort.field] ?? '', id: last.id };
      found.push(...(await this.documentsOf<Doc>(walkStatement(build, piece, end))));
      if (!end || found.length === query.limit) return found;
      after = end;
    }
  }

  async count(build: BuildName): Promise<number> {
    // Counted piece by piece, so that counting millions of documents does not block this thread for seconds.
    const ids = `SELECT id FROM ${tableOf(build)} WHERE id > ? ORDER BY id LIMIT ${COUNTED_AT_ONCE}`;
    let documents = 0;
    for (let after: string | null = ''; after !== null;) {
      const [piece]: { documents: bigint; last: string | null }[] = await this.all(
        `SELECT count(*) AS documents, max(id) AS last FROM (${ids})`,
        after,
      );
      documents += Number(piece?.documents);
      after = piece?.last ?? null;
    }
    return documents;
  }

  async scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(
      `SELECT id, position, revision, doc FROM ${tableOf(build)} WHERE id > ? ORDER BY id LIMIT ?`,
      ...[afterId ?? '', limit],
    );
  }

  async checkpoint(build: BuildName): Promise<Checkpoint | undefined> {
    const rows = await this.all<CheckpointRow>(
      'SELECT log_id, position, event_id, next_ordinal FROM builds WHERE build = ?',
      build,
    );
    return rows[0] && checkpointOf(rows[0]);
  }

  async advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean> {
    const misses = await this.request({ type: 'advance', build, expected, next });
    return misses.length === 0;
  }

  async lease(build: BuildName): Promise<Lease | undefined> {
    const [row] = await this.all<{ holder: string; turn: bigint; ttl_ms: bigint; asked: bigint }>(
      'SELECT holder, turn, ttl_ms, asked FROM leases WHERE build = ?',
      build,
    );
    if (!row) return undefined;
    const lease = { holder: row.holder, turn: Number(row.turn), ttlMs: Number(row.ttl_ms) };
    return row.asked === 0n ? lease : { ...lease, asked: true };
  }

  async setLease(build: BuildName, expected: Lease | undefined, next: Lease): Promise<boolean> {
    const misses = await this.request({ type: 'set lease', build, expected, next });
    return misses.length === 0;
  }

  async releaseLease(build: BuildName, holder: string): Promise<void> {
    await this.request({ type: 'release lease', build, holder });
  }

  async ping(): Promise<void> {
    await this.all('SELECT 1 FROM builds LIMIT 1');
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.forgetReader();
    await Promise.allSettled([this.writer.close(), this.creating]);
  }

  private documentsOf<Doc>({ sql, params }: Statement): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(sql, ...params);
  }

  private async documents<Doc>(sql: string, ...params: SqlValue[]): Promise<StoredDocument<Doc>[]> {
    const rows = await this.all<StoredRow>(sql, ...params);
    return rows.map(({ id, position, revision, doc }) => ({ id, position, revision, doc: JSON.parse(doc) as Doc }));
  }

  private async all<Row>(sql: string, ...params: SqlValue[]): Promise<Row[]> {
    // First lets other code run. Otherwise a caller that reads page after page would block this thread for all other
    // code.
    await setImmediate();
    const reader = await this.currentReader();
    try {
      return reader.all<Row>(sql, ...params);
    } catch (error) {
      if (isMissingIndex(error)) throw new Error('The build lacks the index of this list', { cause: error });
      this.forgetReader();
      throw new ReadStoreUnavailable(...becauseOf(`${this.options.file} can't be read`, error));
    }
  }

  private async currentReader(): Promise<Connection> {
    const reader = this.openedReader();
    if (reader) return reader;
    this.creating ??= create(this.options).finally(() => (this.creating = undefined));
    await this.creating;
    const created = this.openedReader();
    if (!created) throw new ReadStoreUnavailable(`${this.options.file} can't be read`);
    return created;
  }

  /** Returns `undefined` if the file is not a read store yet. */
  private openedReader(): Connection | undefined {
    this.requireOpen();
    if (this.reader?.isCurrent() !== true) {
      this.forgetReader();
      this.reader = openToRead(this.options.file, READ_BUSY_TIMEOUT_MS);
    }
    return this.reader;
  }

  private forgetReader(): void {
    this.reader?.close();
    this.reader = undefined;
  }

  private requireOpen(): void {
    if (this.closed) throw new ReadStoreUnavailable(CLOSED);
  }

  private async request(request: WriterRequest): Promise<readonly string[]> {
    this.requireOpen();
    return this.writer.request(request);
  }
}

/** Whether a query names an index that its build does not have: a mistake of the caller. */
const isMissingIndex = (error: unknown): boolean => error instanceof Error && error.message.startsWith('no such index');

/**
 * Creates the file, or throws `ReadStoreUnavailable` if it is not a read store. This takes a writer thread of its own,
 * which ends at once: a process that only reads needs no such thread for long.
 */
async function create(options: WriterOptions): Promise<void> {
  const writer = new WriterThread(options);
  try {
    await writer.request({ type: 'open' });
  } finally {
    await writer.close();
  }
}

const rowsOf = (writes: readonly DocumentWrite[]): DocumentRow[] =>
  writes.map(({ id, expected, position, revision, doc }) => [id, expected, position, revision, JSON.stringify(doc)]);

/** Returns only data, because the functions of a projection can't be sent to another thread. */
function sentSchema(
  build: BuildName,
  { name, version, indexes, arrayIndexes = [], gramIndexes = [] }: CollectionSchema,
): CollectionSchema {
  const parsed = parsedBuild(build);
  if (parsed.name !== name || parsed.version !== version) {
    throw new TypeError(`${build} is not a build of ${name} version ${version}`);
  }
  return { name, version, indexes, arrayIndexes, gramIndexes };
}

function checkpointOf(row: CheckpointRow): Checkpoint | undefined {
  const { log_id: logId, position, event_id: eventId, next_ordinal: nextOrdinal } = row;
  if (logId === null || position === null || eventId === null) return undefined;
  return { logId, position, eventId, ...(nextOrdinal !== null && { nextOrdinal: Number(nextOrdinal) }) };
}
