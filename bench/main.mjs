// npm run bench -- [suite] [--quick] [--out <file>] [--write]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { auth } from './auth/auth.mjs';
import { core } from './core/core.mjs';
import { stores } from './stores/stores.mjs';
import { environment, plainTable, writeInto } from './report.mjs';

/** By name: an async function that is given a `Bench` and answers its rows. */
const suites = { core, auth, stores };

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What a suite works with. Its files lie beside the data of a real server: in a `tmpfs` a sync would cost nothing. */
class Bench {
  #ends = [];

  constructor(isQuick) {
    /** Only shows that everything works; the figures mean nothing. */
    this.isQuick = isQuick;
    mkdirSync(join(ROOT, 'data'), { recursive: true });
    const folder = mkdtempSync(join(ROOT, 'data', 'bench-'));
    this.folder = folder;
    this.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  }

  newFolder(name) {
    return mkdtempSync(join(this.folder, `${name}-`));
  }

  /** Last registered, first called, however the suite ends. */
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

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean', default: false }, out: { type: 'string' }, write: { type: 'boolean' } },
  });
  const [suite = 'core'] = positionals;
  const run = Object.hasOwn(suites, suite) && suites[suite];
  if (!run) throw new Error(`No suite ${suite}; there are: ${Object.keys(suites).join(', ')}`);

  const bench = new Bench(values.quick);
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
