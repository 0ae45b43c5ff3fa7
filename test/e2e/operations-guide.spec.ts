import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { paste, shellBlocks } from '../support/processes/shell-blocks.js';

/** Files of a node's data directory, as EventStoreDB names them. */
const FILES = [
  ...['chaser.chk', 'epoch.chk', 'proposal.chk', 'truncate.chk', 'writer.chk'],
  ...['chunk-000000.000000', 'chunk-000001.000002'],
  ...['index/indexmap', 'index/6d2bb9a0-5d5c-4c4e', 'index/6d2bb9a0-5d5c-4c4e.bloomfilter'],
  ...['index/stream-existence/streamExistenceFilter.chk', 'index/stream-existence/streamExistenceFilter.dat'],
];

it('the backup of the operations guide holds every file of a node, and its restore begins at the chaser’s checkpoint', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'operations-guide-'));
  const [DATA, BACKUP, before] = ['data', 'backup', 'before'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  try {
    mkdirSync(BACKUP);
    for (const file of FILES) {
      mkdirSync(dirname(join(DATA, file)), { recursive: true });
      writeFileSync(join(DATA, file), `contents of ${file}`);
    }
    cpSync(DATA, before, { recursive: true });
    const [backup = '', restore = ''] = shellBlocks('docs/operations.md', 'Backup and restore').split('\n\n');
    expect(await paste(backup, { DATA, BACKUP })).toEqual(['']);
    const copiedAt = (kind: RegExp) =>
      FILES.filter((file) => kind.test(file)).map((file) => statSync(join(BACKUP, file)).ctimeMs);
    const steps = [/^index.*\.chk$/, /^index.*(?<!\.chk)$/, /^[a-z]+\.chk$/, /^chunk/].map(copiedAt);
    for (const [number, times] of steps.slice(1).entries()) {
      expect(Math.min(...times)).toBeGreaterThanOrEqual(Math.max(...(steps[number] ?? [])));
    }
    rmSync(DATA, { recursive: true });
    mkdirSync(DATA);
    expect(await paste(restore, { DATA, BACKUP })).toEqual(['']);
    const contents = (directory: string) =>
      Object.fromEntries(
        readdirSync(directory, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => join(parentPath, name))
          .map((file) => [file.slice(directory.length), readFileSync(file, 'utf8')]),
      );
    expect(contents(DATA)).toEqual({ ...contents(before), '/truncate.chk': 'contents of chaser.chk' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
