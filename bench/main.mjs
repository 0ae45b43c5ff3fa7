// Usage: npm run bench -- [suite] [--quick] [--clients <number>] [--out <file>] [--write] [--list]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { auth } from './auth/auth.mjs';
import { core } from './core/core.mjs';
import { functions } from './functions/functions.mjs';
import { longStreams } from './long-streams/long-streams.mjs';
import { environment, plainTable, writeInto } from './report.mjs';
import { scale } from './scale/scale.mjs';
import { stores } from './stores/stores.mjs';

/** The suites by name. A suite is an async function that takes a `Bench` and returns the rows of the report. */
const suites = { core, auth, stores, scale, functions, 'long-streams': longStreams };

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The tools that a suite uses. A suite's files are in `data/`, on a real disk, because in a `tmpfs` a sync would cost
 * nothing.
 */
class Bench {
  #ends = [];

  constructor({ quick, clients, list }) {
    /** If true, the run only shows that the suite works. The figures of such a run mean nothing. */
    this.isQuick = quick;
    /** The number of clients that suite `scale` seeds; `undefined` if the suite chooses the number. */
    this.clients = clients === undefined ? undefined : wholeNumber(clients);
    /** If true, suite `functions` prints the name of each function that it counts. */
    this.printsNames = list;
    mkdirSync(join(ROOT, 'data'), { recursive: true });
    const folder = mkdtempSync(join(ROOT, 'data', 'bench-'));
    this.folder = folder;
    this.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  }

  newFolder(name) {
    return mkdtempSync(join(this.folder, `${name}-`));
  }

  /**
   * Registers a function that is called when the suite ends, even if the suite fails. The function that was registered
   * last is called first.
   */
  atEnd(release) {
    this.#ends.unshift(release);
  }

  say(text) {
    console.error(`… ${text}`);
  }

  async end() {
    for (const release of this.#ends) await release();
  }
}

function wholeNumber(text) {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--clients takes a whole number, not ${text}`);
  return Number(text);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
      write: { type: 'boolean' },
      list: { type: 'boolean', default: false },
      clients: { type: 'string' },
    },
  });
  const [suite = 'core'] = positionals;
  const run = Object.hasOwn(suites, suite) && suites[suite];
  if (!run) throw new Error(`No suite ${suite}; there are: ${Object.keys(suites).join(', ')}`);

  const bench = new Bench(values);
  try {
    const report = { suite, quick: values.quick, environment: environment(), rows: await run(bench) };
    console.log(plainTable(report.rows));
    const out = values.out ?? join(ROOT, 'bench', 'results', `${suite}.json`);
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, `${JSON.stringify(report, undefined, 2)}\n`);
    if (values.write) await writeInto(join(ROOT, 'docs', 'benchmarks.md'), report);
  } finally {
    await bench.end();
  }
}

await main();
