import { DomainError } from './domain-error.js';
import { trimmedText } from './text.js';

export const MAX_DESCRIPTION_LENGTH = 500;
export const MAX_LABELS = 16;
export const MAX_LABEL_LENGTH = 100;
/**
 * Names of properties of every JavaScript object, and `prototype`, as far as they match `LABEL_KEY`. They are no keys of
 * labels: programs that read labels into plain objects would trip over them.
 */
export const RESERVED_LABEL_KEYS: readonly string[] = [
  'constructor',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  'prototype',
  'toLocaleString',
  'toString',
  'valueOf',
];
/** Keys of labels: 1 to 63 letters, digits, `.`, `_`, `/` and `-`. The first and the last are letters or digits. See also `isLabelKey`. */
export const LABEL_KEY = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/;
export const isLabelKey = (key: string): boolean => LABEL_KEY.test(key) && !RESERVED_LABEL_KEYS.includes(key);

/** 1 to 128 visible ASCII characters. Upper and lower case differ. */
export const EXTERNAL_ID = /^[!-~]{1,128}$/;

/** Values by which a workspace sorts and finds its clients. The service itself gives them no meaning. */
export type Labels = Readonly<Record<string, string>>;

/** What a workspace says about its client, apart from the name. */
export interface ClientDescription {
  readonly description?: string;
  /** Absent if there is no label. */
  readonly labels?: Labels;
  /** The client's id in another system. No two active clients of a workspace have the same one. */
  readonly externalId?: string;
}

/**
 * Changes of a description, after the rules of JSON Merge Patch (RFC 7396): absent fields and labels stay as they are,
 * `null` removes a field, a label or all labels.
 */
export interface DescriptionChange {
  readonly description?: string | null;
  readonly labels?: Readonly<Record<string, string | null>> | null;
  readonly externalId?: string | null;
}

/** Returns the changed description. Throws `DomainError`, which names the field at fault. */
export function changedDescription(before: ClientDescription, change: DescriptionChange): ClientDescription {
  const description = changed(before.description, change.description, validDescription);
  const labels = change.labels === undefined ? before.labels : changedLabels(before.labels, change.labels);
  const externalId = changed(before.externalId, change.externalId, validExternalId);
  return {
    ...(description !== undefined && { description }),
    ...(labels !== undefined && { labels }),
    ...(externalId !== undefined && { externalId }),
  };
}

const changed = (before: string | undefined, to: string | null | undefined, valid: (raw: string) => string) =>
  to === undefined ? before : to === null ? undefined : valid(to);

const validDescription = (raw: string) =>
  trimmedText(raw, MAX_DESCRIPTION_LENGTH, 'invalid_description', 'description');

const validExternalId = (raw: string): string => {
  if (EXTERNAL_ID.test(raw)) return raw;
  const rule = 'externalId must have 1 to 128 visible ASCII characters';
  throw new DomainError('invalid', 'invalid_external_id', rule, 'externalId');
};

function changedLabels(before: Labels = {}, change: Readonly<Record<string, string | null>> | null) {
  if (change === null) return undefined;
  const labels = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(change)) {
    if (RESERVED_LABEL_KEYS.includes(key)) throw invalidLabels(`${key} is reserved, and can't be the key of a label`);
    if (!isLabelKey(key)) {
      throw invalidLabels('The key of a label must match [A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?');
    }
    if (value === null) labels.delete(key);
    else labels.set(key, trimmedText(value, MAX_LABEL_LENGTH, 'invalid_labels', `labels.${key}`));
  }
  if (labels.size > MAX_LABELS) throw invalidLabels(`A client has at most ${MAX_LABELS} labels`);
  return labels.size === 0 ? undefined : Object.fromEntries(labels);
}

const invalidLabels = (rule: string) => new DomainError('invalid', 'invalid_labels', rule, 'labels');

export const isSameDescription = (one: ClientDescription, other: ClientDescription): boolean =>
  one.description === other.description &&
  one.externalId === other.externalId &&
  areSameLabels(one.labels ?? {}, other.labels ?? {});

function areSameLabels(ones: Labels, others: Labels): boolean {
  const keys = Object.keys(ones);
  return keys.length === Object.keys(others).length && keys.every((key) => ones[key] === others[key]);
}
