import type { Filter, FindOptions } from 'mongodb';
import { checkedField, endOfPrefix, type FieldValue, type PageQuery } from '#read-models';
import type { StoredFields } from './documents.js';

/** Names an index after the list that uses it. So a query can name its index without knowing the schema. */
export const indexOf = (contains: string | undefined, equality: readonly string[], sort: string): string =>
  [contains ?? '', equality.toSorted().join(','), sort].join(':');

/**
 * Returns the query for a page. To read the page, MongoDB walks once along one index, from the cursor on. The cost does
 * not depend on the page's place in the list, only on the number of documents that have the cursor's value. The hint
 * makes MongoDB refuse a list that has no index.
 */
export function pageFind({ equals = {}, prefix, contains, sort, after, limit }: PageQuery): {
  filter: Filter<StoredFields>;
  options: FindOptions;
} {
  if (prefix !== undefined && prefix.field !== sort.field) {
    throw new TypeError('A prefix search is sorted by its field');
  }
  const field = checkedField(sort.field);
  const order = sort.direction === 'asc' ? 1 : -1;
  const conditions: Filter<StoredFields>[] = [equalTo(equals)];
  if (contains !== undefined) conditions.push({ [checkedField(contains.field)]: { $eq: contains.value } });
  conditions.push(...rangeOf(field, prefix?.value));
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
