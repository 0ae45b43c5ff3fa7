import type { ApiPropertyOptions } from '@nestjs/swagger';
import { isObject, ValidateBy, ValidateIf } from 'class-validator';
import {
  EXTERNAL_ID,
  LABEL_KEY,
  MAX_DESCRIPTION_LENGTH,
  MAX_LABEL_LENGTH,
  MAX_LABELS,
  RESERVED_LABEL_KEYS,
} from '#domain';
import { IsNotTooLong } from '../requests/text-length.js';

export const DESCRIPTION_FIELD = {
  minLength: 1,
  maxLength: MAX_DESCRIPTION_LENGTH,
  example: 'Imports the hourly forecasts into the planning system',
} as const satisfies ApiPropertyOptions;

export const LABELS_FIELD = {
  type: 'object',
  maxProperties: MAX_LABELS,
  description:
    `Up to ${MAX_LABELS}. Keys match \`${LABEL_KEY.source}\`, and are none of ` +
    RESERVED_LABEL_KEYS.map((key) => `\`${key}\``).join(', '),
  example: { team: 'planning', stage: 'production' },
} as const;

export const LABEL_VALUE = { type: 'string', minLength: 1, maxLength: MAX_LABEL_LENGTH } as const;

export const EXTERNAL_ID_FIELD = {
  pattern: EXTERNAL_ID.source,
  example: 'crm-4711',
  description: 'Its id in another system. No two active clients of a workspace have the same one',
} as const satisfies ApiPropertyOptions;

export const IsExternalIdLength = () => IsNotTooLong(128, 'have 1 to 128 visible ASCII characters');

/** Lets the field be absent or `null`. */
export const MayBeNull = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined && value !== null);

/**
 * The field must be an object whose values are texts (or `null`, with `orNull`). The domain checks keys and lengths.
 */
export const IsLabels = ({ orNull = false } = {}) =>
  ValidateBy({
    name: 'isLabels',
    validator: {
      validate: (value) =>
        isObject(value) && Object.values(value).every((each) => typeof each === 'string' || (orNull && each === null)),
      defaultMessage: () => `labels must be an object, and its values texts${orNull ? ' or null' : ''}`,
    },
  });
