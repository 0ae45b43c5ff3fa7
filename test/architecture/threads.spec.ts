import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');

/** Returns the packages that a built file loads before it does anything. */
function packagesOf(file: string): string[] {
  const script = `
    try { require(process.argv[1]); } catch { /* It is no thread here, so it has no port and no data. */ }
    console.log(JSON.stringify(Object.keys(require.cache)));`;
  const output = execFileSync(process.execPath, ['-e', script, join(ROOT, 'dist', file)], { encoding: 'utf8' });
  const names = (JSON.parse(output) as string[]).map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

const LIBSQL = ['@libsql/', '@neon-rs/load', 'detect-libc', 'libsql'];

// Each further package costs every start of every process time and memory: class-validator alone costs a thread 0.2 s.
test.each(['libs/event-log/sqlite/writer-thread.js', 'libs/read-models/sqlite/writer.js'])(
  'a thread that writes rows loads no package but SQLite: %s',
  (file) => {
    expect(packagesOf(file).filter((name) => !LIBSQL.some((own) => name.startsWith(own)))).toEqual([]);
    expect(packagesOf(file)).toContain('libsql');
  },
);

test("the projector's thread loads neither Nest nor an HTTP server", () => {
  const packages = packagesOf('apps/standalone/src/projector-worker.js');
  expect(packages).toContain('pino');
  expect(packages.filter((name) => /^(@nestjs|fastify|rxjs|argon2|prom-client)/.test(name))).toEqual([]);
});
