import { type BuildName, endOfPrefix, type FieldValue, gramsIn, MAX_CANDIDATES, type PageQuery } from '#read-models';
import type { SqlValue } from './connection.js';
import { gramsTableOf, gramToken, indexOf, keyColumn, tableOf, valuesTableOf } from './layout.js';

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

export interface Statement {
  readonly sql: string;
  readonly params: SqlValue[];
}

type Place = NonNullable<PageQuery['after']>;

/**
 * Returns the statement for a page. To read the page, SQLite walks once along one index, from the cursor on. The cost
 * does not depend on the page's place in the list. `INDEXED BY` makes SQLite refuse a list that has no index. Strings
 * are compared by code point (BINARY, on UTF-8).
 */
export function pageStatement(build: BuildName, query: PageQuery): Statement {
  if (query.inside !== undefined) return walkStatement(build, query);
  const { contains, sort, limit } = query;
  const { conditions, params } = conditionsOf(query);
  const documents = contains === undefined ? 'key' : 'document';
  const sql = [
    `SELECT ${documents}.id, ${documents}.position, ${documents}.revision, ${documents}.doc`,
    `FROM ${keysOf(build, query)}`,
    contains === undefined ? '' : `CROSS JOIN ${tableOf(build)} AS document ON document.id = key.id`,
    `WHERE ${conditions.join(' AND ')}`,
    `ORDER BY ${orderOf(sort)} LIMIT ?`,
  ].join(' ');
  return { sql, params: [...params, limit] };
}

/**
 * Returns the statement for a page of a search inside a field, which ends with the document at `last`. SQLite walks along
 * the list's index and looks into each document.
 */
export function walkStatement(build: BuildName, query: PageQuery, last?: Place, offset = 0): Statement {
  const { sort, limit } = query;
  const { conditions, params } = conditionsOf(query, last);
  const sql = [
    'SELECT document.id, document.position, document.revision, document.doc FROM',
    `(SELECT key.id, key.${keyColumn(sort.field)} FROM ${keysOf(build, query)} WHERE ${conditions.join(' AND ')}`,
    `ORDER BY ${orderOf(sort)} LIMIT ? OFFSET ?) AS key`,
    `CROSS JOIN ${tableOf(build)} AS document ON document.id = key.id ORDER BY ${orderOf(sort)}`,
  ].join(' ');
  return { sql, params: [...params, limit, offset] };
}

/** Number of documents that a walk reads before other work on the event loop gets a turn. This takes a few ms. */
const PIECE = 1_000;

/** Returns the statement for the last document of the next piece of the list, whether or not it matches the search. */
export function endOfPieceStatement(build: BuildName, { inside: _, ...query }: PageQuery): Statement {
  const strings = { field: query.sort.field, value: '' };
  return walkStatement(build, { ...query, prefix: strings, limit: 1 }, undefined, PIECE - 1);
}

/**
 * Returns the statements for a search by grams: `count` tells whether few documents have all of them, and `page` sorts
 * those that contain the text. Returns `undefined` if the list's own index must be walked.
 */
export function candidatesStatement(
  build: BuildName,
  query: PageQuery,
): { count: Statement; page: Statement } | undefined {
  const { equals = {}, inside, contains, sort, limit } = query;
  if (inside === undefined || contains !== undefined) return undefined;
  const grams = gramsIn(inside.value, GRAMS_OF_SEARCH);
  if (grams.length === 0) return undefined;
  const table = gramsTableOf(build, inside.grams.field);
  const within = inside.grams.within.map((field) => String(equals[field]));
  const match = grams.map((gram) => `"${gramToken(within, gram)}"`).join(' AND ');
  const { conditions, params } = conditionsOf(query);
  return {
    count: {
      sql: `SELECT count(*) <= ${MAX_CANDIDATES} AS few FROM
        (SELECT rowid FROM ${table} WHERE ${table} MATCH ? LIMIT ${MAX_CANDIDATES + 1})`,
      params: [match],
    },
    page: {
      sql: [
        'SELECT key.id, key.position, key.revision, key.doc',
        `FROM ${table} AS found CROSS JOIN ${tableOf(build)} AS key ON key.number = found.rowid`,
        `WHERE found.${table} MATCH ? AND ${conditions.join(' AND ')} ORDER BY ${orderOf(sort)} LIMIT ?`,
      ].join(' '),
      params: [match, ...params, limit],
    },
  };
}

/** Number of grams by which a text is searched. More of them hardly make the search more precise. */
const GRAMS_OF_SEARCH = 32;

const orderOf = ({ field, direction }: PageQuery['sort']): string => {
  const order = direction === 'asc' ? 'ASC' : 'DESC';
  return `key.${keyColumn(field)} ${order}, key.id ${order}`;
};

/** Returns the table that the list is read from, with its index. */
function keysOf(build: BuildName, { equals = {}, contains, sort }: PageQuery): string {
  const keys = contains === undefined ? tableOf(build) : valuesTableOf(build, contains.field);
  return `${keys} AS key INDEXED BY ${indexOf(keys, Object.keys(equals), sort.field)}`;
}

function conditionsOf(query: PageQuery, last?: Place): { conditions: string[]; params: SqlValue[] } {
  const { equals = {}, inside, contains, sort, after } = query;
  // A search for a text finds strings only, as a search for an empty prefix does.
  const prefix = query.prefix ?? (inside && { field: inside.field, value: '' });
  if (prefix !== undefined && prefix.field !== sort.field)
    throw new TypeError('A search for a text is sorted by its field');

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
  } else if (!ascending && last !== undefined) {
    // SQLite begins or ends a walk at one condition only. A second lower bound may take the place of this one, and the
    // walk would then go on to the end of the list.
    where(`(${column}, key.id) >= (${FROM_JSON}, ?)`, json(last.value), last.id);
  } else if (prefix !== undefined) where(`${column} >= ?`, prefix.value);
  else where(`${column} >= ${LOWEST}`);
  if (!ascending && after !== undefined && (end === undefined || precedes(after.value, end))) {
    where(`(${column}, key.id) < (${FROM_JSON}, ?)`, json(after.value), after.id);
  } else if (end !== undefined) where(`${column} < ?`, end);
  if (ascending && last !== undefined) {
    where(`(${column}, key.id) <= (${FROM_JSON}, ?)`, json(last.value), last.id);
  }
  if (inside !== undefined) where(`instr(${column}, ?) > 0`, inside.value);
  return { conditions, params };
}

/**
 * Returns whether `value` comes before `bound` in SQLite's order. In this order, numbers come before strings, and
 * strings are sorted by code point.
 */
const precedes = (value: FieldValue, bound: string): boolean =>
  typeof value !== 'string' || Buffer.compare(Buffer.from(value), Buffer.from(bound)) < 0;
