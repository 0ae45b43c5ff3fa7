import type { Filter, FindOptions } from 'mongodb';
import { type FieldValue, type PageQuery, checkedField, endOfPrefix } from '#read-models';
import type { StoredFields } from './documents.js';

/** Named by what it serves, so that a query names its index without knowing the schema. */
export const indexOf = (contains: string | undefined, equality: readonly string[], sort: string): string =>
  [contains ?? '', equality.toSorted().join(','), sort].join(':');

/**
 * A list's page as one walk along one index, from the cursor on: what the page costs does not depend on where it lies,
 * but on how many documents share the cursor's value. The hint makes a list that no index serves an error.
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
  const fields = Object.entries(equals).map(([name, value]) => [checkedField(name), value] as const);
  const conditions: Filter<StoredFields>[] = fields.map(([name, value]) => ({ [name]: { $eq: value } }));
  if (contains !== undefined) conditions.push({ [checkedField(contains.field)]: { $eq: contains.value } });
  conditions.push(...rangeOf(field, prefix?.value));
  if (after !== undefined) conditions.push(behind(field, order, after.value, after.id));
  return {
    filter: { $and: conditions },
    options: {
      sort: { [field]: order, _id: order },
      hint: indexOf(
        contains?.field,
        fields.map(([name]) => name),
        field,
      ),
      limit,
      batchSize: limit,
    },
  };
}

/** Comparisons hold between values of one type only: those with strings leave out whatever is no string. */
function rangeOf(field: string, prefix: string | undefined): Filter<StoredFields>[] {
  if (prefix === undefined) return [{ [field]: { $ne: null } }];
  const end = endOfPrefix(prefix);
  return [{ [field]: { $gte: prefix } }, ...(end === undefined ? [] : [{ [field]: { $lt: end } }])];
}

/** Bounds on one field, and what shares its value taken out: `$or` would be two walks, which some servers sort. */
const behind = (field: string, order: 1 | -1, value: FieldValue, id: string): Filter<StoredFields> =>
  order === 1
    ? { [field]: { $gte: value }, $nor: [{ [field]: { $eq: value }, _id: { $lte: id } }] }
    : { [field]: { $lte: value }, $nor: [{ [field]: { $eq: value }, _id: { $gte: id } }] };
