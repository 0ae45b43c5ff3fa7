import { isObject, Matches, ValidateBy, ValidateIf, type ValidationOptions } from 'class-validator';
import {
  EXTERNAL_ID,
  isClientId,
  isComparable,
  isLabelKey,
  isSubscriptionId,
  isWorkspaceId,
  MAX_LABEL_LENGTH,
  MAX_LABELS,
} from '#domain';

const is = (name: string, validate: (value: unknown) => boolean, options?: ValidationOptions) =>
  ValidateBy({ name, validator: { validate } }, options);

export const IsClientId = () => is('isClientId', isClientId);
export const IsWorkspaceId = () => is('isWorkspaceId', isWorkspaceId);
export const IsSubscriptionId = (options?: ValidationOptions) => is('isSubscriptionId', isSubscriptionId, options);
export const IsEndpointUri = () => Matches(/^[a-z0-9][a-z0-9-]{2,62}$/);

/** An id that our own code made, such as the id of a draft, a token or a key. */
export const IsOwnId = () => Matches(/^[A-Za-z0-9_-]{1,128}$/);

/** Trimmed, well-formed text of 1 to `max` code points without control characters. */
export const IsText = (max: number) => Matches(textOf(max));

const textOf = (max: number) => new RegExp(`^(?!\\s)[^\\p{Cc}\\p{Cs}]{1,${max}}(?<!\\s)$`, 'u');
const LABEL_VALUE = textOf(MAX_LABEL_LENGTH);

/** 1 to `MAX_LABELS` labels. */
export const IsLabels = () => is('isLabels', isLabels);

const isLabels = (value: unknown): boolean => {
  const labels = isObject(value) ? Object.entries(value) : [];
  return labels.length >= 1 && labels.length <= MAX_LABELS && labels.every(isLabel);
};

const isLabel = ([key, value]: readonly [string, unknown]): boolean =>
  isLabelKey(key) && typeof value === 'string' && LABEL_VALUE.test(value);

export const IsExternalId = () => Matches(EXTERNAL_ID);

/** The first four characters of a secret's random part. */
export const IsHint = () => Matches(/^[A-Za-z0-9]{4}$/);

/** Visible ASCII. Encoded binary values, such as base64, consist of visible ASCII. */
export const IsEncoded = (max: number) => Matches(new RegExp(`^[!-~]{1,${max}}$`));

/** An Argon2id hash in PHC form. */
export const IsVerifier = () => Matches(/^\$argon2id\$[!-~]{1,500}$/);

/** A moment that exists, in the format of `Date.toISOString()`. */
export const IsInstant = () => is('isInstant', isInstant);

export const isInstant = (value: unknown): boolean => {
  if (typeof value !== 'string') return false;
  const date = new Date(value);
  return !Number.isNaN(date.getTime()) && date.toISOString() === value && isComparable(value);
};

/** The field may be absent, but must not be null. (`IsOptional` would accept null.) */
export const MayBeAbsent = () => ValidateIf((_, value: unknown) => value !== undefined);
