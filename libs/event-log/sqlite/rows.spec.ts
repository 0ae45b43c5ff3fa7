import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { Rows } from './rows.js';
import { openForReading, openForWriting } from './schema.js';

const STREAM = 'usage-2026-03-01-a';

let folder: string;
let writing: Database.Database;
let reading: Database.Database;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rows-'));
  writing = openForWriting(join(folder, 'events.db'), 1_000);
  reading = openForReading(join(folder, 'events.db'));
});
afterEach(() => {
  reading.close();
  writing.close();
  rmSync(folder, { recursive: true });
});

const insert = (revision: number, bytes = 10) =>
  writing
    .prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)')
    .run([revision + 1, STREAM, revision, randomUUID(), 'Something', 'x'.repeat(bytes), '']);

/** Returns the connection; `then` runs after its first query. */
const withFirstQueryFollowedBy = (then: () => void): Database.Database => {
  let next: (() => void) | undefined = then;
  const prepare = (sql: string) => {
    const statement = reading.prepare(sql).raw();
    const all = (parameters: unknown[]) => {
      const rows = statement.all(parameters);
      next?.();
      next = undefined;
      return rows;
    };
    return { raw: () => ({ all }) };
  };
  return Object.create(reading, { prepare: { value: prepare } }) as Database.Database;
};

it.each([
  ['ascending', false, [0n, 1n, 2n]],
  ['descending', true, [2n, 1n, 0n]],
])('a page of rows in %s order is of one state, even if a row is added meanwhile', (_, descending, expected) => {
  for (const revision of [0, 1, 2]) insert(revision, revision === 0 ? 10_000 : 10);
  const [where, first] = descending ? ['revision <= ?', 1_000n] : ['revision >= ?', 0n];
  const db = withFirstQueryFollowedBy(() => insert(3, 100_000));
  const rows = new Rows(db, { where: `stream = ? AND ${where}`, orderBy: 'revision', descending });
  const page = rows.read([STREAM, first], 10, 20_000);
  expect(page.rows.map(([, , revision]) => revision)).toEqual(expected);
  expect(page.isLast).toBe(true);
});
