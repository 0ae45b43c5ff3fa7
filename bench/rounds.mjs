/** Returns the median of the numbers. If their count is even, returns the larger of the two middle numbers. */
export const median = (numbers) => percentile(numbers, 0.5);

/** Returns the percentile of the numbers. `fraction` is between 0 and 1: 0.99 stands for the 99th percentile. */
export const percentile = (numbers, fraction) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
};

/**
 * Measures the sides of a comparison in turn (A B A B), so that a noisy moment of the machine affects all sides.
 * `sides` maps a name to an async function that returns a measurement. Returns all measurements of each side, in the
 * order of the rounds.
 */
export async function alternate(rounds, sides) {
  const measured = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(sides)) measured[name].push(await measure());
  }
  return measured;
}

/** Measures the sides in turn, as `alternate` does. Each side measures one number. Returns the median of each side. */
export async function alternatingMedians(rounds, sides) {
  const measured = await alternate(rounds, sides);
  return Object.fromEntries(Object.entries(measured).map(([name, numbers]) => [name, median(numbers)]));
}
