import { type BuildName, endOfPrefix, type FieldValue, type PageQuery } from '#read-models';
import type { SqlValue } from './connection.js';
import { indexOf, keyColumn, tableOf, valuesTableOf } from './layout.js';

/**
 * A number below every value except NULL. A list that begins at this number skips the documents that lack its sort
 * field.
 */
const LOWEST = '-9e999';

/**
 * Reads a parameter from JSON, just as the columns read the documents' fields. A parameter that is bound directly may
 * have another form: libsql binds large numbers and booleans differently.
 */
const FROM_JSON = "json_extract(?, '$')";
const json = (value: FieldValue): string => JSON.stringify(value);

/**
 * Returns the statement for a page. To read the page, SQLite walks once along one index, from the cursor on. The cost
 * does not depend on the page's place in the list. `INDEXED BY` makes SQLite refuse a list that has no index. Strings
 * are compared by code point (BINARY, on UTF-8).
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

/**
 * Returns whether `value` comes before `bound` in SQLite's order. In this order, numbers come before strings, and
 * strings are sorted by code point.
 */
const precedes = (value: FieldValue, bound: string): boolean =>
  typeof value !== 'string' || Buffer.compare(Buffer.from(value), Buffer.from(bound)) < 0;
