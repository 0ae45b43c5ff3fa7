import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { becauseOf, sqliteTrouble } from '#event-log';

let folder: string;
let file: string;
let databases: Database.Database[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sqlite-files-'));
  file = join(folder, 'a.db');
  databases = [];
});
afterEach(() => {
  for (const database of databases) database.close();
  rmSync(folder, { recursive: true });
});

const opened = (path = file, schema = 'CREATE TABLE IF NOT EXISTS notes (text TEXT UNIQUE)') => {
  const database = new Database(path);
  databases.push(database);
  database.exec(schema);
  return database;
};
const thrownBy = async (work: () => unknown): Promise<unknown> => {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('Nothing was thrown');
};

const FAILURES: Record<string, () => unknown> = {
  'its disk is full (SQLITE_FULL)': () => {
    const database = opened();
    database.exec('PRAGMA max_page_count = 3');
    database.exec(`INSERT INTO notes VALUES ('${'x'.repeat(100_000)}')`);
  },
  'it is read-only (SQLITE_READONLY)': () => opened(file, 'PRAGMA query_only = ON; CREATE TABLE notes (text TEXT)'),
  'another process has locked it, or its disk does not answer (SQLITE_BUSY)': () => {
    opened().exec('BEGIN IMMEDIATE');
    opened(file, 'BEGIN IMMEDIATE');
  },
  'it is not a database (SQLITE_NOTADB)': () => {
    writeFileSync(file, 'Dear auditor, '.repeat(1_000));
    opened();
  },
  'it has a rule that forbids this (SQLITE_CONSTRAINT_UNIQUE)': () => {
    opened().exec("INSERT INTO notes VALUES ('Forecast'), ('Forecast')");
  },
  'it lacks a table or column, or SQLite does not take the statement (SQLITE_ERROR)': () =>
    opened(file, 'SELECT * FROM forecasts'),
  'no file can be opened there (SQLITE_CANTOPEN)': () => opened(join(folder, 'missing', 'a.db')),
  'no file can be opened there (ENOENT)': () => open(join(folder, 'missing')),
};

it.each(Object.entries(FAILURES))(
  'an error of SQLite or of the kernel is told in our own words: %s',
  async (words, fail) => {
    const error = await thrownBy(fail);
    expect(sqliteTrouble(error)).toBe(words);
    expect(becauseOf("The file can't be used", error)).toEqual([`The file can't be used: ${words}`, {}]);
  },
);

it('any other error stays as it is', () => {
  const error = new TypeError('x is not a function');
  expect(sqliteTrouble(error)).toBeUndefined();
  expect(becauseOf("The file can't be used", error)).toEqual(["The file can't be used", { cause: error }]);
});
