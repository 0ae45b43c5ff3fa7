import { MaxLength } from 'class-validator';

/**
 * Refuses a text that is far too long to be read at all. The domain counts more exactly: without white space around the
 * text, and by code points. The message is the domain's rule for the length.
 */
export const IsNotTooLong = (max: number, rule = `have 1 to ${max} characters`): PropertyDecorator =>
  MaxLength(10 * max, { message: `$property must ${rule}` });
