import { type BookOfRecord, canBeRead, readQuarantines } from '#event-log';

/** Why the history of a client or a subscription can't be read: it is damaged, or an operator has quarantined it too. */
export type Damage = 'UNREADABLE' | 'QUARANTINED';

/** What was read, or why it can't be read. */
export type Readable<T> =
  { readonly found: T; readonly damage?: undefined } | { readonly found?: undefined; readonly damage: Damage };

/**
 * Runs `read`, which reads this stream and nothing else. If it fails twice although the log can be read, tells why, so
 * that an answer about a whole workspace names the stream and goes on with the others. Throws what `read` throws if the
 * log as a whole can't be read.
 */
export async function unlessDamaged<T>(
  { log }: Pick<BookOfRecord, 'log'>,
  stream: string,
  read: () => Promise<T>,
): Promise<Readable<T>> {
  try {
    return { found: await read() };
  } catch (error) {
    if (!(await canBeRead(log))) throw error;
  }
  try {
    return { found: await read() };
  } catch {
    return { damage: (await readQuarantines(log)).has(stream) ? 'QUARANTINED' : 'UNREADABLE' };
  }
}
