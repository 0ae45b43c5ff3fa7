/**
 * Returns how many items at the start of a sorted array satisfy the condition. After the first item that doesn't
 * satisfy the condition, no item may satisfy it.
 */
export const countUpTo = (items, condition) => {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (condition(items[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
};
