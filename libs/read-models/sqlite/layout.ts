import { existsSync } from 'node:fs';
import Database from 'libsql';
import type { BuildName, CollectionSchema, GramIndex } from '#read-models';
import { checkedField, parsedBuild } from '../src/names.js';
import { Connection } from './connection.js';

/** The text `CCRM` in the file's header marks a file as one of our read stores. */
const APPLICATION_ID = 0x4343524d;
const LAYOUT_VERSION = 1;
const WAL_RETRY_MS = 20;
/**
 * Size of the writer's page cache, in KiB. A build that catches up writes to pages all over the indexes. With SQLite's
 * default cache of 2 MiB, it would read the same pages again and again.
 */
const WRITE_CACHE_KIB = 65_536;
/**
 * Number of pages in the WAL (16 MiB in total) after which SQLite copies them into the database file. SQLite's default
 * is smaller, so a page that changes often would be copied more often.
 */
const PAGES_BETWEEN_CHECKPOINTS = 4_000;

/** Returns the quoted name of the build's table. Throws if `build` is not a build's name. */
export const tableOf = (build: BuildName): string => {
  parsedBuild(build);
  return `"${build}"`;
};

/**
 * Returns the quoted name of the table that holds the values of an array field. Each row holds a value, and the id and
 * list fields of the value's document.
 */
export const valuesTableOf = (build: BuildName, field: string): string => {
  parsedBuild(build);
  return `"${build}.${checkedField(field)}"`;
};

/**
 * Returns the quoted name of the full-text table that holds the grams of the documents. Its `rowid` is the `number` of
 * the document.
 */
export const gramsTableOf = (build: BuildName, field: string): string => {
  parsedBuild(build);
  return `"${build}.${checkedField(field)}:grams"`;
};

/**
 * The token of a gram in the full-text table: the values of the fields within which the gram is searched, and the gram,
 * each in hexadecimal digits. `gramTokenIn` makes the same token in SQL.
 */
export const gramToken = (within: readonly string[], gram: string): string =>
  [...within, gram].map((text) => Buffer.from(text).toString('hex')).join('x');

const gramTokenIn = ({ within }: GramIndex, row: string): string =>
  [...within.map((field) => `${row}.${keyColumn(field)}`), 'element.value']
    .map((value) => `hex(${value})`)
    .join(" || 'x' || ");

/** Returns the quoted name of the column that holds a field of the document. */
export const keyColumn = (field: string): string => `"doc.${checkedField(field)}"`;

/** Names an index after the list that uses it. So a query can name its index without knowing the schema. */
export const indexOf = (table: string, equality: readonly string[], sort: string): string =>
  `"${table.slice(1, -1)}:${equality.map(checkedField).toSorted().join(',')}:${checkedField(sort)}"`;

/**
 * Opens the file for writing, and creates the file if it is missing. Throws if another program or another layout
 * version made the file.
 */
export function openToWrite(file: string, busyTimeoutMs: number): Connection {
  const connection = new Connection(file, busyTimeoutMs);
  try {
    refuseForeign(connection);
    useWriteAheadLog(connection, busyTimeoutMs);
    connection.exec(`PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${WRITE_CACHE_KIB}`);
    connection.exec(`PRAGMA wal_autocheckpoint = ${PAGES_BETWEEN_CHECKPOINTS}`);
    connection.transaction(() => {
      connection.exec(`
        PRAGMA application_id = ${APPLICATION_ID};
        PRAGMA user_version = ${LAYOUT_VERSION};
        CREATE TABLE IF NOT EXISTS builds (
          build TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, number INTEGER NOT NULL,
          layout TEXT NOT NULL, log_id TEXT, position TEXT, event_id TEXT, next_ordinal INTEGER);
        CREATE TABLE IF NOT EXISTS served (
          name TEXT, version INTEGER, build TEXT NOT NULL, PRIMARY KEY (name, version));
        CREATE TABLE IF NOT EXISTS leases (
          build TEXT PRIMARY KEY, holder TEXT NOT NULL, turn INTEGER NOT NULL, ttl_ms INTEGER NOT NULL,
          asked INTEGER NOT NULL DEFAULT 0);`);
      addLaterColumns(connection);
    });
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Opens the file for reading. Returns `undefined` if the file is not a read store in the layout that `openToWrite`
 * makes, or can't be read.
 */
export function openToRead(file: string, busyTimeoutMs: number): Connection | undefined {
  if (!existsSync(file)) return undefined;
  let connection: Connection | undefined;
  try {
    connection = new Connection(file, busyTimeoutMs);
    connection.exec('PRAGMA query_only = ON');
    if (isLaidOut(connection)) return connection;
  } catch {
    // The caller opens the file for writing, which tells what is wrong with it.
  }
  connection?.close();
  return undefined;
}

const isLaidOut = (connection: Connection): boolean => {
  const { id, version } = headerOf(connection) ?? {};
  return (
    id === BigInt(APPLICATION_ID) &&
    version === BigInt(LAYOUT_VERSION) &&
    LATER_COLUMNS.every((column) => hasColumn(connection, column))
  );
};

/** Columns that files of earlier releases lack. Programs of these releases can still use the tables. */
const LATER_COLUMNS = [
  { table: 'leases', column: 'asked', type: 'INTEGER NOT NULL DEFAULT 0' },
  { table: 'builds', column: 'next_ordinal', type: 'INTEGER' },
] as const;

const hasColumn = (connection: Connection, { table, column }: (typeof LATER_COLUMNS)[number]): boolean =>
  connection.all(`SELECT 1 FROM pragma_table_info('${table}') WHERE name = '${column}'`).length > 0;

function addLaterColumns(connection: Connection): void {
  for (const later of LATER_COLUMNS) {
    const { table, column, type } = later;
    if (!hasColumn(connection, later)) connection.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
  }
}

/** Whether another program has made the file. Throws SQLite's error if it is not a database. */
export function isForeign(connection: Connection): boolean {
  const header = headerOf(connection);
  const isEmpty = header === undefined || (header.id === 0n && header.tables === 0n);
  return !isEmpty && header.id !== BigInt(APPLICATION_ID);
}

function refuseForeign(connection: Connection): void {
  const header = headerOf(connection);
  if (header === undefined || (header.id === 0n && header.tables === 0n)) return;
  if (isForeign(connection)) throw new Error('it is not a read store');
  if (header.version !== BigInt(LAYOUT_VERSION)) {
    throw new Error(`it has layout ${header.version.toString()}, this program knows ${LAYOUT_VERSION}`);
  }
}

interface Header {
  readonly id: bigint;
  readonly version: bigint;
  readonly tables: bigint;
}

const headerOf = (connection: Connection): Header | undefined =>
  connection.all<Header>(
    `SELECT a.application_id AS id, v.user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables
     FROM pragma_application_id AS a, pragma_user_version AS v`,
  )[0];

/**
 * Switches the file to WAL mode. If two processes switch a new file at the same time, SQLite reports an error instead
 * of waiting. Therefore this function waits and tries again.
 */
function useWriteAheadLog(connection: Connection, timeoutMs: number): void {
  const giveUpAt = performance.now() + timeoutMs;
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

/**
 * Creates the build's table, the columns and indexes of its lists, and the tables of its array fields, if they are
 * missing. If the build has documents, creates at most one index or table. Returns whether nothing is missing any more.
 */
export function layOut(connection: Connection, build: BuildName, schema: CollectionSchema): boolean {
  const layout = JSON.stringify([schema.indexes, schema.arrayIndexes ?? [], ...(schema.gramIndexes ?? [])]);
  const [known] = connection.all<{ layout: string }>('SELECT layout FROM builds WHERE build = ?', build);
  if (known?.layout === layout) return true;

  layOutTable(connection, build, schema);
  const isEmpty = connection.all(`SELECT 1 FROM ${tableOf(build)} LIMIT 1`).length === 0;
  for (const create of missingParts(connection, build, schema)) {
    create();
    if (!isEmpty) return false;
  }
  enter(connection, build, layout);
  return true;
}

/** The layout of a build that lacks the parts that only lists need. */
const NO_LISTS = '';

/** Creates the build's table without anything that only lists need, if the build does not exist. */
export function layOutToLoad(connection: Connection, build: BuildName, schema: CollectionSchema): void {
  if (connection.all('SELECT 1 FROM builds WHERE build = ?', build).length > 0) return;
  layOutTable(connection, build, schema);
  enter(connection, build, NO_LISTS);
}

function enter(connection: Connection, build: BuildName, layout: string): void {
  const { name, version, number } = parsedBuild(build);
  connection.run(
    `INSERT INTO builds (build, name, version, number, layout) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (build) DO UPDATE SET layout = excluded.layout`,
    ...[build, name, version, number, layout],
  );
}

const fieldsOf = (schema: CollectionSchema): string[] => [...new Set(schema.indexes.flat())];

function layOutTable(connection: Connection, build: BuildName, schema: CollectionSchema): void {
  const table = tableOf(build);
  // `number` is the `rowid` under a name of its own. Without one, VACUUM may change it.
  connection.exec(`CREATE TABLE IF NOT EXISTS ${table} (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, position TEXT NOT NULL, revision INTEGER NOT NULL, doc TEXT NOT NULL)`);
  const columns = columnsOf(connection, build);
  for (const field of fieldsOf(schema)) {
    // We index a column, not an expression, because SQLite can seek by (key, id) only on columns.
    if (!columns.includes(keyColumn(field))) {
      connection.exec(`ALTER TABLE ${table} ADD COLUMN ${keyColumn(field)} AS (json_extract(doc, '$."${field}"'))`);
    }
  }
}

/** Returns the quoted names of the table's columns; `[]` if there is no such table. */
const columnsOf = (connection: Connection, table: string): string[] =>
  connection.all<{ name: string }>('SELECT name FROM pragma_table_xinfo(?)', table).map(({ name }) => `"${name}"`);

/** Yields, for each missing part of the build, a function that creates the part. */
function* missingParts(connection: Connection, build: BuildName, schema: CollectionSchema): Generator<() => void> {
  yield* missingIndexes(connection, tableOf(build), schema, '');
  for (const field of schema.arrayIndexes ?? []) {
    const values = valuesTableOf(build, field);
    const expected = ['"value"', '"id"', ...fieldsOf(schema).map(keyColumn)];
    if (String(columnsOf(connection, values.slice(1, -1))) !== String(expected)) {
      yield () => {
        layOutValues(connection, build, field, fieldsOf(schema));
      };
    }
    yield* missingIndexes(connection, values, schema, 'value, ');
  }
  for (const index of schema.gramIndexes ?? []) yield* missingGrams(connection, build, index);
}

/** Number of documents whose grams are indexed in one request. This takes about a second. */
const GRAMS_AT_ONCE = 20_000;

/**
 * Yields functions that make the full-text table of the documents' grams, and fill it piece by piece. Triggers update
 * the table in the same transaction that writes a document, from the beginning.
 */
function* missingGrams(connection: Connection, build: BuildName, index: GramIndex): Generator<() => void> {
  const grams = gramsTableOf(build, index.field);
  const sizes = `"${grams.slice(1, -1)}_docsize"`;
  if (columnsOf(connection, grams.slice(1, -1)).length === 0) {
    yield () => {
      layOutGrams(connection, build, index);
    };
  }
  const missing = `SELECT document.number FROM ${tableOf(build)} AS document
    LEFT JOIN ${sizes} AS indexed ON indexed.id = document.number WHERE indexed.id IS NULL`;
  while (connection.all(`${missing} LIMIT 1`).length > 0) {
    yield () => {
      connection.exec(
        `INSERT INTO ${grams} (rowid, grams) SELECT document.number, ${gramsIn(index, 'document')}
         FROM ${tableOf(build)} AS document WHERE document.number IN (${missing} LIMIT ${GRAMS_AT_ONCE})`,
      );
    };
  }
}

const gramsIn = (index: GramIndex, row: string): string =>
  `(SELECT group_concat(${gramTokenIn(index, row)}, ' ') FROM json_each(${row}.doc, '$."${index.field}"') AS element)`;

function layOutGrams(connection: Connection, build: BuildName, index: GramIndex): void {
  const grams = gramsTableOf(build, index.field);
  const trigger = (moment: string) => `"${grams.slice(1, -1)}:${moment}"`;
  const array = (row: string) => `json_extract(${row}.doc, '$."${index.field}"')`;
  const changed = [array, ...index.within.map((field) => (row: string) => `${row}.${keyColumn(field)}`)];
  const insertNew = `INSERT INTO ${grams} (rowid, grams) VALUES (NEW.number, ${gramsIn(index, 'NEW')})`;
  connection.exec(`
    CREATE VIRTUAL TABLE ${grams} USING fts5(grams, content='', contentless_delete=1, detail=none, tokenize='ascii');
    CREATE TRIGGER ${trigger('inserted')} AFTER INSERT ON ${tableOf(build)} BEGIN ${insertNew}; END;
    CREATE TRIGGER ${trigger('changed')} AFTER UPDATE ON ${tableOf(build)}
    WHEN ${changed.map((of) => `${of('OLD')} IS NOT ${of('NEW')}`).join(' OR ')} BEGIN
      DELETE FROM ${grams} WHERE rowid = NEW.number;
      ${insertNew};
    END`);
}

function* missingIndexes(
  connection: Connection,
  table: string,
  schema: CollectionSchema,
  leading: string,
): Generator<() => void> {
  for (const fields of schema.indexes) {
    const sort = fields.at(-1);
    if (sort === undefined) continue;
    const index = indexOf(table, fields.slice(0, -1), sort);
    const found = connection.all(`SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?`, index.slice(1, -1));
    if (found.length > 0) continue;
    const columns = fields.map((field) => `${keyColumn(field)}, `).join('');
    yield () => {
      connection.exec(`CREATE INDEX ${index} ON ${table} (${leading}${columns}id)`);
    };
  }
}

/**
 * Creates the table for the values of an array field. Triggers update this table in the same transaction that writes
 * the document.
 */
function layOutValues(connection: Connection, build: BuildName, field: string, fields: readonly string[]): void {
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
      WHERE element.type = 'text' ORDER BY document.id, element.value ON CONFLICT DO NOTHING;
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
}

/**
 * Removes the build's tables with their indexes and triggers, the build's lease, and the build's row in `builds` (which
 * holds the checkpoint).
 */
export function remove(connection: Connection, build: BuildName): void {
  parsedBuild(build);
  // A full-text table comes first, because it takes the tables along in which it keeps its content.
  const tables = connection.all<{ name: string }>(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND (name = ? OR substr(name, 1, length(?)) = ?)
     ORDER BY sql LIKE 'CREATE VIRTUAL%' DESC`,
    ...[build, `${build}.`, `${build}.`],
  );
  for (const { name } of tables) connection.exec(`DROP TABLE IF EXISTS "${name}"`);
  connection.run('DELETE FROM leases WHERE build = ?', build);
  connection.run('DELETE FROM builds WHERE build = ?', build);
}
