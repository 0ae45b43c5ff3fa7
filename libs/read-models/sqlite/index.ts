import { setImmediate } from 'node:timers/promises';
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
import { Connection, type SqlValue } from './connection.js';
import { tableOf } from './layout.js';
import { pageStatement } from './page.js';
import type { WriterRequest } from './writer-protocol.js';
import { WriterThread } from './writer-thread.js';

export { pageStatement };

export interface SqliteReadStoreOptions {
  /** A file of its own, made where there is none; its directory exists. */
  readonly file: string;
  /** How long a write waits for another process's, in milliseconds (default 5000). */
  readonly busyTimeoutMs?: number;
}

/** A read waits for no writer in WAL; only a recovery or a closing process can hold it up, and it holds up its thread. */
const READ_BUSY_TIMEOUT_MS = 250;
const CLOSED = 'The read store is closed';

/**
 * Read models in an SQLite file (WAL, `synchronous=NORMAL`: what a power cut takes is folded again). Several processes
 * may use the file. A file that was replaced or removed is noticed by the next call, which opens the one at the path.
 * Throws `ReadStoreUnavailable`, also when the file is not a read store.
 */
export async function openSqliteReadStore({ file, busyTimeoutMs = 5_000 }: SqliteReadStoreOptions): Promise<ReadStore> {
  const store = new SqliteReadStore(file, busyTimeoutMs);
  try {
    await store.ping();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
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
}

/** Writes on a thread of its own, reads on the calling one. */
class SqliteReadStore implements ReadStore {
  private readonly writer: WriterThread;
  private reader: Connection | undefined;
  private closed = false;

  constructor(
    private readonly file: string,
    busyTimeoutMs: number,
  ) {
    this.writer = new WriterThread({ file, busyTimeoutMs });
  }

  async prepare(build: BuildName, schema: CollectionSchema): Promise<void> {
    const { name, version } = parsedBuild(build);
    if (name !== schema.name || version !== schema.version) {
      throw new TypeError(`${build} is not a build of ${schema.name} version ${schema.version}`);
    }
    // Of a projection only the schema's data: its functions can't go to another thread.
    const { indexes, arrayIndexes = [] } = schema;
    await this.request({ type: 'prepare', build, schema: { name, version, indexes, arrayIndexes } });
  }

  async builds(name: string, version: number): Promise<BuildInfo[]> {
    const rows = await this.all<CheckpointRow & { build: BuildName; served: bigint }>(
      `SELECT build, log_id, position, event_id, EXISTS (SELECT 1 FROM served WHERE served.build = builds.build) AS served
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

  /** `false` also where there is no such build. */
  async serve(name: string, version: number, from: BuildName | undefined, build: BuildName): Promise<boolean> {
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
    const rows = writes.map(({ doc, ...write }) => ({ ...write, doc: JSON.stringify(doc) }));
    return [...(await this.request({ type: 'write', build, rows }))];
  }

  async find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]> {
    const { sql, params } = pageStatement(build, query);
    return this.documents<Doc>(sql, ...params);
  }

  async count(build: BuildName): Promise<number> {
    const rows = await this.all<{ documents: bigint }>(`SELECT count(*) AS documents FROM ${tableOf(build)}`);
    return Number(rows[0]?.documents);
  }

  async scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]> {
    return this.documents<Doc>(
      `SELECT id, position, revision, doc FROM ${tableOf(build)} WHERE id > ? ORDER BY id LIMIT ?`,
      ...[afterId ?? '', limit],
    );
  }

  async checkpoint(build: BuildName): Promise<Checkpoint | undefined> {
    const rows = await this.all<CheckpointRow>('SELECT log_id, position, event_id FROM builds WHERE build = ?', build);
    return rows[0] && checkpointOf(rows[0]);
  }

  async advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean> {
    const misses = await this.request({ type: 'advance', build, expected, next });
    return misses.length === 0;
  }

  async lease(build: BuildName): Promise<Lease | undefined> {
    const rows = await this.all<{ holder: string; turn: bigint; ttl_ms: bigint }>(
      'SELECT holder, turn, ttl_ms FROM leases WHERE build = ?',
      build,
    );
    return rows[0] && { holder: rows[0].holder, turn: Number(rows[0].turn), ttlMs: Number(rows[0].ttl_ms) };
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
    await this.writer.close();
  }

  private async documents<Doc>(sql: string, ...params: SqlValue[]): Promise<StoredDocument<Doc>[]> {
    const rows = await this.all<StoredRow>(sql, ...params);
    return rows.map(({ id, position, revision, doc }) => ({ id, position, revision, doc: JSON.parse(doc) as Doc }));
  }

  private async all<Row>(sql: string, ...params: SqlValue[]): Promise<Row[]> {
    // A caller who reads page after page must not keep this thread from all others.
    await setImmediate();
    const reader = await this.currentReader();
    try {
      return reader.all<Row>(sql, ...params);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message.startsWith('no such index')) throw error;
      this.forgetReader();
      throw new ReadStoreUnavailable(message, { cause: error });
    }
  }

  private async currentReader(): Promise<Connection> {
    if (this.reader?.isCurrent() === true) return this.reader;
    // Makes the file where there is none, and refuses one that isn't ours.
    await this.request({ type: 'open' });
    if (this.closed) throw new ReadStoreUnavailable(CLOSED);
    if (this.reader?.isCurrent() !== true) {
      this.forgetReader();
      this.reader = new Connection(this.file, READ_BUSY_TIMEOUT_MS);
      this.reader.exec('PRAGMA query_only = ON');
    }
    return this.reader;
  }

  private forgetReader(): void {
    this.reader?.close();
    this.reader = undefined;
  }

  private request(request: WriterRequest): Promise<readonly string[]> {
    if (this.closed) return Promise.reject(new ReadStoreUnavailable(CLOSED));
    return this.writer.request(request);
  }
}

const checkpointOf = ({ log_id: logId, position, event_id: eventId }: CheckpointRow): Checkpoint | undefined =>
  logId === null || position === null || eventId === null ? undefined : { logId, position, eventId };
