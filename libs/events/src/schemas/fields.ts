import { isClientId, isSubscriptionId, isWorkspaceId } from '#domain';
import { Matches, ValidateBy, ValidateIf, type ValidationOptions } from 'class-validator';

const is = (name: string, validate: (value: unknown) => boolean, options?: ValidationOptions) =>
  ValidateBy({ name, validator: { validate } }, options);

export const IsClientId = () => is('isClientId', isClientId);
export const IsWorkspaceId = () => is('isWorkspaceId', isWorkspaceId);
export const IsSubscriptionId = (options?: ValidationOptions) => is('isSubscriptionId', isSubscriptionId, options);
export const IsEndpointUri = () => Matches(/^[a-z0-9][a-z0-9-]{2,62}$/);

/** An id that one of our own parts made: of a draft, a token, a key. */
export const IsOwnId = () => Matches(/^[A-Za-z0-9_-]{1,128}$/);

/** Trimmed, well-formed text without control characters, 1 to `max` code points. */
export const IsText = (max: number) => Matches(new RegExp(`^(?!\\s)[^\\p{Cc}\\p{Cs}]{1,${max}}(?<!\\s)$`, 'u'));

/** Visible ASCII, as encodings of binary values are. */
export const IsEncoded = (max: number) => Matches(new RegExp(`^[!-~]{1,${max}}$`));

/** An Argon2id hash in PHC form. */
export const IsVerifier = () => Matches(/^\$argon2id\$[!-~]{1,500}$/);

/** A real moment, written as `Date.toISOString()` writes it. */
export const IsInstant = () => is('isInstant', isInstant);

export const isInstant = (value: unknown): boolean => {
  if (typeof value !== 'string') return false;
  const date = new Date(value);
  return !Number.isNaN(date.getTime()) && date.toISOString() === value;
};

/** May be left out, but is never null (which `IsOptional` lets through). */
export const MayBeAbsent = () => ValidateIf((_, value: unknown) => value !== undefined);
