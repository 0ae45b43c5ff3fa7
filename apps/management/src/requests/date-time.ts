import { ValidateBy } from 'class-validator';
import { type Instant, isComparable } from '#domain';

const DATE_TIME =
  /^(\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/**
 * Whether the value is a date and a time that exist, in the form of RFC 3339. Leap seconds are refused, and so is a time
 * that lies in UTC before the year 0 or after the year 9999: its ISO form has more digits, so that it would compare as
 * if it were early.
 */
const isDateTime = (value: unknown): boolean => {
  if (typeof value !== 'string') return false;
  const [, date] = DATE_TIME.exec(value) ?? [];
  if (date === undefined) return false;
  // `Date` takes February 30 for March 2.
  const day = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date) && isComparable(instantOf(value));
};

/** The field must be a date and time of RFC 3339. */
export const IsDateTime = () =>
  ValidateBy({
    name: 'isDateTime',
    validator: {
      validate: isDateTime,
      defaultMessage: (details) => `${details?.property ?? ''} must be a date and time such as 2027-01-31T23:59:59Z`,
    },
  });

/** Returns the moment of a valid date and time, rounded down to a millisecond. */
export const instantOf = (dateTime: string): Instant => new Date(dateTime).toISOString();
