let isJson = false;

/** Makes `printResult` print JSON, for the option `--json`. */
export const printAsJson = (chosen: boolean): void => {
  isJson = chosen;
};

/**
 * Prints a command's result to stdout: the lines, or with `--json` the value as one JSON document. Everything else that
 * a command tells its user goes to stderr.
 */
export function printResult(value: unknown, lines: readonly string[]): void {
  if (isJson) console.log(JSON.stringify(value, undefined, 2));
  else for (const line of lines) console.log(line);
}

/** Returns `count` with the noun in the right number, such as `1 client` or `2 clients`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Returns a table as lines: the names of the columns, and the rows. Returns `ifEmpty` if there is no row. */
export const tableLines = (
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  ...ifEmpty: readonly string[]
): readonly string[] => (rows.length === 0 ? ifEmpty : alignedLines([columns, ...rows]));

/** Returns the rows as lines whose columns are aligned. */
export function alignedLines(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, at) => Math.max(cell.length, widest[at] ?? 0)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
