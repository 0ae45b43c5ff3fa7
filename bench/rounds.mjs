/** The middle of the numbers; of an even count the upper one. */
export const median = (numbers) => percentile(numbers, 0.5);

/** `fraction` from 0 to 1. */
export const percentile = (numbers, fraction) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
};

/**
 * Measures the sides in turn, A B A B, so that a noisy moment of the machine meets all of them. `sides` are async
 * functions by name; answers what each of them measured, in the order of the rounds.
 */
export async function alternate(rounds, sides) {
  const measured = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(sides)) measured[name].push(await measure());
  }
  return measured;
}

/** The same, for sides that each measure one number; answers the median of each. */
export async function alternatingMedians(rounds, sides) {
  const measured = await alternate(rounds, sides);
  return Object.fromEntries(Object.entries(measured).map(([name, numbers]) => [name, median(numbers)]));
}
