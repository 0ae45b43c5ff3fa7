/** Largest number of items of a part. */
const MOST_ITEMS = 1_000;
/** Largest size of a part, in bytes. MongoDB refuses commands above 16 MiB, and documents of that size, too. */
const MOST_BYTES = 8 * 1024 * 1024;

export interface Part<Item> {
  readonly items: readonly Item[];
  /** The size of all items together, in bytes. */
  readonly bytes: number;
}

/**
 * Splits a list of any length into parts that one call of MongoDB can carry. Keeps the order. Returns at least one part.
 * `bytesOf` returns the size of an item. An item that is larger than a part becomes a part by itself.
 */
export function partsOf<Item>(items: readonly Item[], bytesOf: (item: Item) => number): readonly Part<Item>[] {
  let part: { items: Item[]; bytes: number } = { items: [], bytes: 0 };
  const parts = [part];
  for (const item of items) {
    const bytes = bytesOf(item);
    if (part.items.length === MOST_ITEMS || (part.bytes + bytes > MOST_BYTES && part.items.length > 0)) {
      part = { items: [], bytes: 0 };
      parts.push(part);
    }
    part.items.push(item);
    part.bytes += bytes;
  }
  return parts;
}
