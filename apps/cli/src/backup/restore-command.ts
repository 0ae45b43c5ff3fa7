import { existsSync } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createCommand } from 'commander';
import { configurationFrom } from '#platform/without-http';
import { requireFittingMasterKeys } from '#tokens';
import { masterKeysOf, withBook } from '../environment.js';
import { CommandFailed, ExitCode } from '../exit.js';
import { printResult } from '../output.js';
import { requireEmbeddedLog } from './backup-command.js';
import { BACKUP_FILES, type Manifest, sync, verifiedManifest } from './manifest.js';

/** `restore`: puts the files of a backup into `DATA_DIR`. The service must not run. */
export const restoreCommand = () =>
  createCommand('restore')
    .description('verify a backup and put it into DATA_DIR, which holds the master key but no stores')
    .argument('<directory>', 'the backup')
    .action(async (directory: string) => {
      const configuration = configurationFrom(process.env);
      requireEmbeddedLog(configuration);
      const { dataDir } = configuration;
      const masterKeys = masterKeysOf(configuration);
      requireNoStores(dataDir);
      const source = resolve(directory);
      const manifest = await verifiedManifest(source);
      await putInPlace(source, dataDir, manifest);
      await withBook(async ({ signingKeys }) => {
        requireFittingMasterKeys((await signingKeys.read()).state, masterKeys);
      });
      const { createdAt, logId, files } = manifest;
      printResult({ dataDir, createdAt, logId, files }, [
        `${dataDir} is as it was at ${createdAt}. What was revoked since then is good again: revoke it anew.`,
      ]);
    });

/** Throws `CommandFailed` if a store is there: it might be in use, and might hold what the backup does not. */
function requireNoStores(dataDir: string): void {
  const names = BACKUP_FILES.flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
  const found = names.find((name) => existsSync(join(dataDir, name)));
  if (found === undefined) return;
  throw new CommandFailed(ExitCode.FAILED, `${join(dataDir, found)} exists: stop the service, and move it away`);
}

/** Copies all files first. Nothing is in place before all copies are synced to disk. */
async function putInPlace(source: string, dataDir: string, { files }: Manifest): Promise<void> {
  const temporary = (name: string) => join(dataDir, `${name}.restoring`);
  const names = BACKUP_FILES.filter((name) => files.some((file) => file.name === name));
  try {
    for (const name of names) {
      await copyFile(join(source, name), temporary(name));
      await sync(temporary(name));
    }
    for (const name of names) await rename(temporary(name), join(dataDir, name));
    await sync(dataDir);
  } finally {
    for (const name of names) await rm(temporary(name), { force: true });
  }
}
