// Usage: npm run bench -- [suite] [--quick] [--clients <number>] [--out <file>] [--write] [--list]
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { audit } from './audit/audit.mjs';
import { auth } from './auth/auth.mjs';
import { Bench, ROOT } from './bench.mjs';
import { core } from './core/core.mjs';
import { functions } from './functions/functions.mjs';
import { longStreams } from './long-streams/long-streams.mjs';
import { environment, plainTable, writeInto } from './report.mjs';
import { scale } from './scale/scale.mjs';
import { stores } from './stores/stores.mjs';

/** The suites by name. A suite is an async function that takes a `Bench` and returns the rows of the report. */
const suites = { core, auth, stores, scale, functions, 'long-streams': longStreams, audit };

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
    const report = { suite, quick: values.quick, environment: environment(), rows: await bench.run(run) };
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
