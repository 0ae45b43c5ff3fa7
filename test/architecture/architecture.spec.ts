import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '../..');

interface Report {
  summary: { violations: { rule: { name: string }; from: string; to: string }[]; totalCruised: number };
}

const cruise = (folder: string, ...paths: string[]): Report['summary'] => {
  const program = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [program, '--config', join(ROOT, '.dependency-cruiser.cjs'), '--output-type', 'json', ...paths];
  const { stdout } = spawnSync(process.execPath, args, { cwd: folder, maxBuffer: 2 ** 27, encoding: 'utf8' });
  return (JSON.parse(stdout) as Report).summary;
};

const broken = ({ violations }: Report['summary']) =>
  violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);

test('every room touches only what docs/architecture.md lets it touch', () => {
  const summary = cruise(ROOT, 'apps', 'libs');
  expect(broken(summary)).toEqual([]);
  expect(summary.totalCruised).toBeGreaterThan(100);
});

test('the rules can fail: a domain that knows HTTP and reaches past an index is found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'architecture-'));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  try {
    copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    copyFileSync(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
    write('node_modules/@nestjs/common/index.js', '');
    write('libs/events/src/index.ts', `export * from './registry.js';`);
    write('libs/events/src/registry.ts', 'export const versions = [];');
    write(
      'libs/domain/src/breaks-the-rules.ts',
      `import '@nestjs/common';\nimport '#events';\nimport '../../events/src/registry.js';\n`,
    );
    const names = new Set(cruise(folder, 'libs').violations.map(({ rule }) => rule.name));
    expect([...names]).toEqual(
      expect.arrayContaining([
        'domain-imports-no-package',
        'nest-only-in-apps-and-platform',
        'nothing-reaches-past-an-index',
        'what-libs-domain-may-import',
      ]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
