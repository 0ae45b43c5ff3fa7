import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { format, resolveConfig } from 'prettier';

/** A target of a row: a text for the report, and a function that tells whether the row reaches the target. */
export const ratioAtLeast = (least) => ({ says: `ratio ≥ ${least}`, isMet: ({ ratio }) => ratio >= least });
export const ratioAbove = (bound) => ({ says: `ratio > ${bound}`, isMet: ({ ratio }) => ratio > bound });
export const ratioBelow = (bound) => ({ says: `ratio < ${bound}`, isMet: ({ ratio }) => ratio < bound });
export const ratioAtMost = (most) => ({ says: `ratio ≤ ${most}`, isMet: ({ ratio }) => ratio <= most });
export const below = (bound, unit) => ({ says: `< ${bound} ${unit}`, isMet: ({ value }) => value < bound });
export const atLeast = (least, unit) => ({
  says: `≥ ${least.toLocaleString('en')} ${unit}`,
  isMet: ({ value }) => value >= least,
});
export const atMost = (bound) => ({ says: `≤ ${bound}`, isMet: ({ value }) => value <= bound });

/**
 * Makes one line of the report: a measured value, a reference value from the same run, and a target. `reference` and
 * `target` are optional.
 */
export function row({ section, name, unit, value, against, reference, target }) {
  const ratio = reference === undefined ? undefined : value / reference;
  const figures = { section, name, unit, value, against, reference, ratio };
  return { ...figures, ...(target && { target: target.says, met: target.isMet(figures) }) };
}

const HEADINGS = ['', 'measured', 'unit', 'against', 'that', 'ratio', 'target', ''];

/** Returns the headings and the rows as text, one array of cells per line. */
export const tableOf = (rows) => [
  HEADINGS,
  ...rows.map(({ name, value, unit, against, reference, ratio, target, met }) => [
    name,
    figure(value),
    unit,
    against ?? '',
    figure(reference),
    ratio === undefined ? '' : ratio.toFixed(2),
    target ?? '',
    met === undefined ? '' : met ? 'met' : 'not met',
  ]),
];

const figure = (value) => {
  if (value === undefined) return '';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
};

/** Formats the rows for a terminal, with aligned columns and a line between sections. */
export function plainTable(rows) {
  const lines = tableOf(rows);
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((cells) => cells[column].length)));
  const line = (cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd();
  return lines
    .flatMap((cells, index) => {
      const isNewSection = index > 0 && rows[index - 1].section !== rows[index - 2]?.section;
      return isNewSection ? ['', rows[index - 1].section, line(cells)] : [line(cells)];
    })
    .join('\n');
}

/** Returns the properties of the machine and the versions of the software that influence the figures. */
export const environment = () => ({
  date: new Date().toISOString().slice(0, 10),
  node: process.version,
  system: `${type()} ${release()}`,
  processor: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
});

/**
 * Writes the suite's report into a Markdown file. The report replaces what is between `<!-- suite -->` and `<!-- /suite
 * -->` (with the name of the suite).
 */
export async function writeInto(file, { suite, environment, rows }) {
  const { date, node, system, processor, cores, memoryGiB } = environment;
  const sections = groupBySection(rows);
  const tables = [...sections].map(([section, ofSection]) => {
    const [headings, ...lines] = tableOf(ofSection).map((cells) => `| ${cells.join(' | ')} |`);
    return [`### ${section}`, '', headings, `|${' --- |'.repeat(HEADINGS.length)}`, ...lines].join('\n');
  });
  const machine = `${date}, Node ${node}, ${system}, ${processor}, ${cores} cores, ${memoryGiB} GiB`;
  const before = readFileSync(file, 'utf8');
  const place = new RegExp(`(<!-- ${suite} -->)[^]*(<!-- /${suite} -->)`);
  if (!place.test(before)) throw new Error(`${file} has no place for the suite ${suite}`);
  const after = before.replace(place, (_, begin, end) => [begin, machine, ...tables, end].join('\n\n'));
  writeFileSync(file, await format(after, { ...(await resolveConfig(file)), parser: 'markdown' }));
}

function groupBySection(rows) {
  const sections = new Map();
  for (const each of rows) sections.set(each.section, [...(sections.get(each.section) ?? []), each]);
  return sections;
}
