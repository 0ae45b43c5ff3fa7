import { type BuildName, type FieldValue, type PageQuery, endOfPrefix } from '#read-models';
import type { SqlValue } from './connection.js';
import { indexOf, keyColumn, tableOf, valuesTableOf } from './layout.js';

/** Below every value but NULL: a list begins behind the documents that lack its field, without walking over them. */
const LOWEST = '-9e999';

/** A value goes the way of the documents' own: SQLite reads large numbers and booleans from JSON not as libsql binds them. */
const FROM_JSON = "json_extract(?, '$')";
const json = (value: FieldValue): string => JSON.stringify(value);

/**
 * A list's page as one walk along one index, from the cursor on: it costs the same wherever the page lies. `INDEXED BY`
 * makes a list that no index serves an error instead of a scan. Strings compare by code point (BINARY, on UTF-8).
 */
export function pageStatement(build: BuildName, query: PageQuery): { sql: string; params: SqlValue[] } {
  const { equals = {}, prefix, contains, sort, after, limit } = query;
  if (prefix !== undefined && prefix.field !== sort.field)
    throw new TypeError('A prefix search is sorted by its field');

  const conditions: string[] = [];
  const params: SqlValue[] = [];
  const where = (condition: string, ...values: SqlValue[]) => {
    conditions.push(condition);
    params.push(...values);
  };

  if (contains !== undefined) where('key.value = ?', contains.value);
  for (const [field, value] of Object.entries(equals)) where(`key.${keyColumn(field)} = ${FROM_JSON}`, json(value));

  const column = `key.${keyColumn(sort.field)}`;
  const ascending = sort.direction === 'asc';
  const end = prefix && endOfPrefix(prefix.value);
  if (ascending && after !== undefined && !(prefix && precedes(after.value, prefix.value))) {
    where(`(${column}, key.id) > (${FROM_JSON}, ?)`, json(after.value), after.id);
  } else if (prefix !== undefined) where(`${column} >= ?`, prefix.value);
  else where(`${column} >= ${LOWEST}`);
  if (!ascending && after !== undefined && (end === undefined || precedes(after.value, end))) {
    where(`(${column}, key.id) < (${FROM_JSON}, ?)`, json(after.value), after.id);
  } else if (end !== undefined) where(`${column} < ?`, end);

  const table = tableOf(build);
  const keys = contains === undefined ? table : valuesTableOf(build, contains.field);
  const index = indexOf(keys, Object.keys(equals), sort.field);
  const documents = contains === undefined ? 'key' : 'document';
  const order = ascending ? 'ASC' : 'DESC';
  const sql = [
    `SELECT ${documents}.id, ${documents}.position, ${documents}.revision, ${documents}.doc`,
    `FROM ${keys} AS key INDEXED BY ${index}`,
    contains === undefined ? '' : `CROSS JOIN ${table} AS document ON document.id = key.id`,
    `WHERE ${conditions.join(' AND ')}`,
    `ORDER BY ${column} ${order}, key.id ${order} LIMIT ?`,
  ].join(' ');
  return { sql, params: [...params, limit] };
}

/** In SQLite's order of keys: numbers before strings, strings by code point. */
const precedes = (value: FieldValue, bound: string): boolean =>
  typeof value !== 'string' || Buffer.compare(Buffer.from(value), Buffer.from(bound)) < 0;
