import Database from 'libsql';
import type { BuildName, CollectionSchema } from '#read-models';
import { checkedField, parsedBuild } from '../src/names.js';
import { Connection } from './connection.js';

/** `CCRM`, in the file's header: a read store of ours, and no other database. */
const APPLICATION_ID = 0x4343524d;
const LAYOUT_VERSION = 1;
const WAL_RETRY_MS = 20;
/** Catching up writes all over the indexes: with SQLite's 2 MiB it reads each page again. */
const WRITE_CACHE_KIB = 65_536;
/** 16 MiB of WAL: the pages of documents that change often are copied into the file once, not at every checkpoint. */
const PAGES_BETWEEN_CHECKPOINTS = 4_000;

/** A build's table: quoted, so only of a name that has been checked. */
export const tableOf = (build: BuildName): string => {
  parsedBuild(build);
  return `"${build}"`;
};

/** The table of an array field's values, each beside the document's keys. */
export const valuesTableOf = (build: BuildName, field: string): string => {
  parsedBuild(build);
  return `"${build}.${checkedField(field)}"`;
};

/** The column that holds a document's field. */
export const keyColumn = (field: string): string => `"doc.${checkedField(field)}"`;

/** Named by what it serves, so that a query names its index without knowing the schema. */
export const indexOf = (table: string, equality: readonly string[], sort: string): string =>
  `"${table.slice(1, -1)}:${equality.map(checkedField).toSorted().join(',')}:${checkedField(sort)}"`;

/** Opens the file to write, makes it where there is none. Throws when it is another program's or another version's. */
export function openToWrite(file: string, busyTimeoutMs: number): Connection {
  const connection = new Connection(file, busyTimeoutMs);
  try {
    refuseForeign(connection, file);
    useWriteAheadLog(connection, busyTimeoutMs);
    connection.exec(`PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${WRITE_CACHE_KIB}`);
    connection.exec(`PRAGMA wal_autocheckpoint = ${PAGES_BETWEEN_CHECKPOINTS}`);
    connection.transaction(() => {
      connection.exec(`
        PRAGMA application_id = ${APPLICATION_ID};
        PRAGMA user_version = ${LAYOUT_VERSION};
        CREATE TABLE IF NOT EXISTS builds (
          build TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, number INTEGER NOT NULL,
          layout TEXT NOT NULL, log_id TEXT, position TEXT, event_id TEXT);
        CREATE TABLE IF NOT EXISTS served (
          name TEXT, version INTEGER, build TEXT NOT NULL, PRIMARY KEY (name, version));
        CREATE TABLE IF NOT EXISTS leases (
          build TEXT PRIMARY KEY, holder TEXT NOT NULL, turn INTEGER NOT NULL, ttl_ms INTEGER NOT NULL);`);
    });
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function refuseForeign(connection: Connection, file: string): void {
  const [header] = connection.all<{ id: bigint; version: bigint; tables: bigint }>(
    `SELECT a.application_id AS id, v.user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables
     FROM pragma_application_id AS a, pragma_user_version AS v`,
  );
  if (header === undefined || (header.id === 0n && header.tables === 0n)) return;
  if (header.id !== BigInt(APPLICATION_ID)) throw new Error(`${file} is not a read store`);
  if (header.version !== BigInt(LAYOUT_VERSION)) {
    throw new Error(`${file} has layout ${header.version.toString()}, this program knows ${LAYOUT_VERSION}`);
  }
}

/** SQLite doesn't wait when two processes switch a new file to WAL at once. */
function useWriteAheadLog(connection: Connection, patienceMs: number): void {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      connection.all('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      const busy = error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
      if (!busy || performance.now() > giveUpAt) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAL_RETRY_MS);
    }
  }
}

/** Makes what is missing of the build: its table, the columns and indexes of its lists, the tables of its arrays. */
export function layOut(connection: Connection, build: BuildName, schema: CollectionSchema): void {
  const layout = JSON.stringify([schema.indexes, schema.arrayIndexes ?? []]);
  const [known] = connection.all<{ layout: string }>('SELECT layout FROM builds WHERE build = ?', build);
  if (known?.layout === layout) return;

  const table = tableOf(build);
  const fields = [...new Set(schema.indexes.flat())];
  connection.exec(`CREATE TABLE IF NOT EXISTS ${table} (
    id TEXT NOT NULL PRIMARY KEY, position TEXT NOT NULL, revision INTEGER NOT NULL, doc TEXT NOT NULL)`);
  const columns = connection.all<{ name: string }>(`SELECT name FROM pragma_table_xinfo(?)`, build);
  for (const field of fields) {
    // A column and not an expression index: SQLite seeks by (key, id) only on columns.
    if (!columns.some(({ name }) => `"${name}"` === keyColumn(field))) {
      connection.exec(`ALTER TABLE ${table} ADD COLUMN ${keyColumn(field)} AS (json_extract(doc, '$."${field}"'))`);
    }
  }
  makeIndexes(connection, table, schema, '');
  for (const field of schema.arrayIndexes ?? []) layOutValues(connection, build, field, fields, schema);

  const { name, version, number } = parsedBuild(build);
  connection.run(
    `INSERT INTO builds (build, name, version, number, layout) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (build) DO UPDATE SET layout = excluded.layout`,
    ...[build, name, version, number, layout],
  );
}

function makeIndexes(connection: Connection, table: string, schema: CollectionSchema, leading: string): void {
  for (const fields of schema.indexes) {
    const sort = fields.at(-1);
    if (sort === undefined) continue;
    const index = indexOf(table, fields.slice(0, -1), sort);
    const columns = fields.map((field) => `${keyColumn(field)}, `).join('');
    connection.exec(`CREATE INDEX IF NOT EXISTS ${index} ON ${table} (${leading}${columns}id)`);
  }
}

/** The table of an array field, kept by triggers: in the document's own transaction, and only where something moved. */
function layOutValues(
  connection: Connection,
  build: BuildName,
  field: string,
  fields: readonly string[],
  schema: CollectionSchema,
): void {
  const table = tableOf(build);
  const values = valuesTableOf(build, field);
  const trigger = (moment: string) => `"${build}.${field}:${moment}"`;
  const keys = fields.map(keyColumn);
  const array = (row: string) => `json_extract(${row}.doc, '$."${field}"')`;
  const elements = (row: string) => `json_each(${row}.doc, '$."${field}"')`;
  const insertFrom = (row: string) =>
    `INSERT INTO ${values} (${['value', 'id', ...keys].join(', ')})
     SELECT ${['element.value', `${row}.id`, ...keys.map((key) => `${row}.${key}`)].join(', ')}`;

  connection.exec(`
    DROP TRIGGER IF EXISTS ${trigger('inserted')};
    DROP TRIGGER IF EXISTS ${trigger('array changed')};
    DROP TRIGGER IF EXISTS ${trigger('keys changed')};
    DROP TABLE IF EXISTS ${values};
    CREATE TABLE ${values} (${['value TEXT', 'id TEXT', ...keys].join(', ')}, PRIMARY KEY (id, value)) WITHOUT ROWID;
    ${insertFrom('document')} FROM ${table} AS document, ${elements('document')} AS element
      WHERE element.type = 'text' ON CONFLICT DO NOTHING;
    CREATE TRIGGER ${trigger('inserted')} AFTER INSERT ON ${table} BEGIN
      ${insertFrom('NEW')} FROM ${elements('NEW')} AS element WHERE element.type = 'text' ON CONFLICT DO NOTHING;
    END;
    CREATE TRIGGER ${trigger('array changed')} AFTER UPDATE ON ${table} WHEN ${array('OLD')} IS NOT ${array('NEW')} BEGIN
      DELETE FROM ${values} WHERE id = NEW.id AND value NOT IN (SELECT value FROM ${elements('NEW')} WHERE type = 'text');
      ${insertFrom('NEW')} FROM ${elements('NEW')} AS element WHERE element.type = 'text' ON CONFLICT DO NOTHING;
    END;`);
  if (keys.length > 0) {
    connection.exec(`
      CREATE TRIGGER ${trigger('keys changed')} AFTER UPDATE ON ${table}
      WHEN ${keys.map((key) => `OLD.${key} IS NOT NEW.${key}`).join(' OR ')} BEGIN
        UPDATE ${values} SET ${keys.map((key) => `${key} = NEW.${key}`).join(', ')} WHERE id = NEW.id;
      END`);
  }
  makeIndexes(connection, values, schema, 'value, ');
}

/** Removes the build's tables, its checkpoint, its lease and its name; indexes and triggers go with their tables. */
export function remove(connection: Connection, build: BuildName): void {
  parsedBuild(build);
  const tables = connection.all<{ name: string }>(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND (name = ? OR substr(name, 1, length(?)) = ?)`,
    ...[build, `${build}.`, `${build}.`],
  );
  for (const { name } of tables) connection.exec(`DROP TABLE "${name}"`);
  connection.run('DELETE FROM leases WHERE build = ?', build);
  connection.run('DELETE FROM builds WHERE build = ?', build);
}
