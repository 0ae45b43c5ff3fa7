/**
 * Calls `work` for each item, for `size` items at the same time (default 50). Resolves when all have ended. A test that
 * writes much uses this: of thousands of calls at once, the last ones would wait until their deadline.
 */
export async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<unknown>, size = 50): Promise<void> {
  for (let first = 0; first < items.length; first += size) {
    await Promise.all(items.slice(first, first + size).map(work));
  }
}
