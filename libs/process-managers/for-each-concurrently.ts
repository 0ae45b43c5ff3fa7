/**
 * Calls `work` for each item, for at most `limit` items at a time. Resolves when all calls have ended. After the first
 * error no further item is taken, and the function rejects with this error when the calls under way have ended.
 */
export async function forEachConcurrently<T>(
  items: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const errors: unknown[] = [];
  const takeItems = async () => {
    try {
      while (errors.length === 0) {
        const next = await iterator.next();
        if (next.done === true) return;
        await work(next.value);
      }
    } catch (error) {
      errors.push(error);
    }
  };
  await Promise.all(Array.from({ length: limit }, takeItems));
  await iterator.return?.();
  if (errors.length > 0) throw errors[0];
}
