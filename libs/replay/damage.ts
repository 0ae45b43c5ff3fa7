import {
  type BookOfRecord,
  canBeRead,
  HistoryMissing,
  LogDamaged,
  readQuarantines,
  StoreUnavailable,
} from '#event-log';

/** Why the history of a client or a subscription can't be read: it is damaged, or an operator has quarantined it too. */
export type Damage = 'UNREADABLE' | 'QUARANTINED';

/** What was read, or why it can't be read. */
export type Readable<T> =
  { readonly found: T; readonly damage?: undefined } | { readonly found?: undefined; readonly damage: Damage };

/**
 * Runs `read`, which reads this stream and nothing else. If the stream is damaged, tells so, so that an answer about a
 * whole workspace names the stream and goes on with the others. Throws what `read` throws for any other reason: a log
 * that is slow or away says nothing about a stream.
 */
export async function unlessDamaged<T>(
  { log }: Pick<BookOfRecord, 'log'>,
  stream: string,
  read: () => Promise<T>,
): Promise<Readable<T>> {
  try {
    return { found: await read() };
  } catch (error) {
    if (!isDamageOf(stream, error) || !(await canBeRead(log))) throw error;
    return { damage: (await readQuarantines(log)).has(stream) ? 'QUARANTINED' : 'UNREADABLE' };
  }
}

/** Whether the error is about events of the stream: they are missing, damaged, foreign, or make no state. */
function isDamageOf(stream: string, error: unknown): boolean {
  if (error instanceof HistoryMissing) return error.stream === stream;
  return error instanceof LogDamaged || !(error instanceof StoreUnavailable);
}
