import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

const writerIn = (folder: string) => (path: string, text: string) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};

test('every room touches only what docs/architecture.md lets it touch', () => {
  const summary = cruise(ROOT, 'apps', 'libs', 'test', 'bench', 'examples');
  expect(broken(summary)).toEqual([]);
  expect(summary.totalCruised).toBeGreaterThan(100);
});

test('the rules can fail: a domain that knows HTTP and reaches past an index is found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'architecture-'));
  const write = writerIn(folder);
  try {
    copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    copyFileSync(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
    write('node_modules/@nestjs/common/index.js', '');
    write('libs/events/index.ts', `export * from './registry.js';`);
    write('libs/events/registry.ts', 'export const versions = [];');
    write(
      'libs/domain/breaks-the-rules.ts',
      `import '@nestjs/common';\nimport '#events';\nimport '../events/registry.js';\n`,
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

test('the rules can fail: a verifier of evidence that shares code with the tree, or takes a package, is found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'architecture-'));
  const write = writerIn(folder);
  try {
    copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    copyFileSync(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
    write('node_modules/jose/index.js', '');
    write('libs/transparency/index.ts', 'export const leafHash = 1;');
    write('libs/stores/index.ts', `import '#evidence';`);
    write(
      'libs/evidence/index.ts',
      `import 'node:crypto';\nimport 'node:fs';\nimport 'jose';\nimport '#transparency';\n`,
    );
    const found = broken(cruise(folder, 'libs')).filter((each) => !each.startsWith('no-orphans'));
    expect(found.sort()).toEqual([
      'evidence-imports-only-node-crypto: libs/evidence/index.ts → fs',
      'evidence-imports-only-node-crypto: libs/evidence/index.ts → libs/transparency/index.ts',
      'evidence-imports-only-node-crypto: libs/evidence/index.ts → node_modules/jose/index.js',
      'only-the-command-line-verifies-evidence: libs/stores/index.ts → libs/evidence/index.ts',
      'what-libs-evidence-may-import: libs/evidence/index.ts → libs/transparency/index.ts',
      'what-libs-stores-may-import: libs/stores/index.ts → libs/evidence/index.ts',
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the rules can fail: a platform that knows the product is found, one that knows only moments is not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'architecture-'));
  const write = writerIn(folder);
  try {
    copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    copyFileSync(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
    write('libs/domain/index.ts', 'export type Instant = string;\nexport class Failure extends Error {}');
    write('libs/credentials/index.ts', 'export class MasterKeys {}');
    write('libs/platform/clock.ts', `import type { Instant } from '#domain';\nexport type Now = () => Instant;`);
    write('libs/platform/problem.ts', `import { Failure } from '#domain';\nexport class Problem extends Failure {}`);
    write(
      'libs/platform/secrets.ts',
      `import type { MasterKeys } from '#credentials';\nexport type Secrets = MasterKeys;`,
    );
    const found = broken(cruise(folder, 'libs')).filter((each) => !each.startsWith('no-orphans'));
    expect(found.sort()).toEqual([
      'platform-takes-only-types-of-the-domain: libs/platform/problem.ts → libs/domain/index.ts',
      'what-libs-platform-may-import: libs/platform/secrets.ts → libs/credentials/index.ts',
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('the picture of the rooms', () => {
  const draw = (folder: string, ...options: string[]) => {
    const program = join(ROOT, 'scripts/draw-architecture.mjs');
    const { status, stderr } = spawnSync(process.execPath, [program, ...options], { cwd: folder, encoding: 'utf8' });
    return [status, stderr];
  };

  test('is current', () => {
    expect(draw(ROOT, '--check')).toEqual([0, '']);
  });

  test('leaves out arrows that others imply, and is out of date as soon as the imports change', () => {
    const folder = mkdtempSync(join(tmpdir(), 'architecture-'));
    const write = writerIn(folder);
    const face = (path: string) => ({ source: `./${path}`, default: `./dist/${path}` });
    try {
      copyFileSync(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
      const [log, sqlite, events] = ['libs/log/src/index.ts', 'libs/log/sqlite/index.ts', 'libs/events/index.ts'];
      const imports = { '#log': face(log), '#log/sqlite': face(sqlite), '#events': face(events) };
      write('package.json', JSON.stringify({ imports }));
      write('docs/architecture.md', '# Rooms\n\n<!-- rooms -->\n\n<!-- /rooms -->\n');
      write(events, 'export const events = [];');
      write(log, `import '#events';`);
      write(sqlite, `import '#log';`);
      write('apps/auth/src/main.ts', `import '#events';\nimport '#log';\nvoid import('#log/sqlite');`);
      write('apps/auth/src/main.spec.ts', `import '../../other/src/main.js';`);
      write('apps/other/src/main.ts', `import '#events';`);

      expect(draw(folder, '--check')).toEqual([1, expect.stringContaining('docs:architecture')]);
      expect(draw(folder)).toEqual([0, '']);
      const arrows = readFileSync(join(folder, 'docs/architecture.md'), 'utf8').match(/\S+ -.*> \S+/g);
      expect(arrows).toEqual([
        'apps_auth -.-> libs_log_sqlite',
        'libs_log_sqlite --> libs_log',
        'apps_other --> libs_events',
        'libs_log --> libs_events',
      ]);
      expect(draw(folder, '--check')).toEqual([0, '']);
      write('apps/other/src/main.ts', `import '#log';`);
      expect(draw(folder, '--check')).toEqual([1, expect.any(String)]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
