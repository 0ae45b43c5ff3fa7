import type { Filter, FindOptions } from 'mongodb';
import {
  checkedField,
  endOfPrefix,
  type FieldValue,
  type GramIndex,
  MAX_CANDIDATES,
  type PageQuery,
} from '#read-models';
import type { StoredFields } from './documents.js';

/** Names an index after the list that uses it. So a query can name its index without knowing the schema. */
export const indexOf = (contains: string | undefined, equality: readonly string[], sort: string): string =>
  [contains ?? '', equality.toSorted().join(','), sort].join(':');

/** Names the index of a field's grams. */
export const gramIndexOf = ({ field, within }: GramIndex): string => ['grams', within.join(','), field].join(':');

/**
 * Returns the query for a page. To read the page, MongoDB walks once along one index, from the cursor on. The cost does
 * not depend on the page's place in the list, only on the number of documents that have the cursor's value. The hint
 * makes MongoDB refuse a list that has no index.
 */
export function pageFind({ equals = {}, prefix, inside, contains, sort, after, limit }: PageQuery): {
  filter: Filter<StoredFields>;
  options: FindOptions;
} {
  for (const search of [prefix, inside]) {
    if (search && search.field !== sort.field) throw new TypeError('A search for a text is sorted by its field');
  }
  const field = checkedField(sort.field);
  const order = sort.direction === 'asc' ? 1 : -1;
  const conditions: Filter<StoredFields>[] = [equalTo(equals)];
  if (contains !== undefined) conditions.push({ [checkedField(contains.field)]: { $eq: contains.value } });
  // A search for a text finds strings only, as a search for an empty prefix does.
  conditions.push(...rangeOf(field, prefix?.value ?? (inside && '')));
  if (inside !== undefined) conditions.push({ [field]: { $regex: literally(inside.value) } });
  if (after !== undefined) conditions.push(behind(field, order, after.value, after.id));
  return {
    filter: { $and: conditions },
    options: {
      sort: { [field]: order, _id: order },
      hint: indexOf(contains?.field, Object.keys(equals), field),
      limit,
      batchSize: limit,
    },
  };
}

/** Returns a regular expression that finds exactly this text. BSON can't hold an expression with U+0000. */
const literally = (text: string): string =>
  text
    .replace(/\p{Cs}/gu, '\ufffd')
    .replace(/[\\^$.|?*+()[\]{}]/g, '\\$&')
    .replaceAll('\0', '\\x00');

/** Returns the query that counts the documents with this gram, up to one more than a search sorts. */
export const gramCount = (equals: PageQuery['equals'], grams: GramIndex, gram: string) => ({
  filter: { $and: [equalTo(withinOf(equals, grams)), { [checkedField(grams.field)]: { $eq: gram } }] },
  options: { hint: gramIndexOf(grams), limit: MAX_CANDIDATES + 1 },
});

/** Returns the query for a page of the documents that have this gram. MongoDB sorts them. */
export function candidateFind(query: PageQuery, grams: GramIndex, gram: string): ReturnType<typeof pageFind> {
  const { filter, options } = pageFind(query);
  return {
    filter: { $and: [filter, { [checkedField(grams.field)]: { $eq: gram } }] },
    options: { ...options, hint: gramIndexOf(grams) },
  };
}

const withinOf = (equals: PageQuery['equals'] = {}, { within }: GramIndex): Record<string, FieldValue> =>
  Object.fromEntries(within.map((field) => [field, equals[field] ?? '']));

/**
 * MongoDB compares only values of the same type. So a comparison with a string leaves out all values that are not
 * strings.
 */
function rangeOf(field: string, prefix: string | undefined): Filter<StoredFields>[] {
  if (prefix === undefined) return [{ [field]: { $ne: null } }];
  const end = endOfPrefix(prefix);
  return [{ [field]: { $gte: prefix } }, ...(end === undefined ? [] : [{ [field]: { $lt: end } }])];
}

/**
 * Returns the condition that a document comes after the cursor. The condition bounds the sort field by the cursor's
 * value. Among the documents with exactly this value, it excludes the cursor's document and all that come before it.
 * `$or` would walk along the index twice, and some servers would then sort the results.
 */
const behind = (field: string, order: 1 | -1, value: FieldValue, id: string): Filter<StoredFields> =>
  order === 1
    ? { [field]: { $gte: value }, $nor: [{ [field]: { $eq: value }, _id: { $lte: id } }] }
    : { [field]: { $lte: value }, $nor: [{ [field]: { $eq: value }, _id: { $gte: id } }] };

/** Returns the filter for the documents whose fields have these values. */
const equalTo = (equals: Readonly<Record<string, FieldValue>>): Filter<StoredFields> =>
  Object.fromEntries(Object.entries(equals).map(([name, value]) => [checkedField(name), { $eq: value }]));
