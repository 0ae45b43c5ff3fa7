/** How many of a sorted array's first items satisfy a condition that, once false, stays false. */
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
