import { existsSync } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createCommand } from 'commander';
import { readLogId } from '#event-log';
import { type Configuration, configurationFrom } from '#platform/without-http';
import { masterKeysOf, requireOwnMasterKeys } from '../environment.js';
import { CommandFailed, ExitCode } from '../exit.js';
import { printResult } from '../output.js';
import { requireEmbeddedLog } from './backup-command.js';
import { BACKUP_FILES, type BackupFile, type Manifest, readManifest, requireListed, sync } from './manifest.js';

/** `restore`: puts the files of a backup into `DATA_DIR`. The service must not run. */
export const restoreCommand = () =>
  createCommand('restore')
    .description('verify a backup and put it into DATA_DIR, which holds the master key but no stores')
    .argument('<directory>', 'the backup')
    .option('--log-only', 'restore the event log beside newer read models, which know the revocations that it lacks')
    .action(async (directory: string, { logOnly }: { readonly logOnly?: true }) => {
      const configuration = configurationFrom(process.env);
      requireEmbeddedLog(configuration);
      masterKeysOf(configuration);
      const { dataDir } = configuration;
      const wanted = logOnly ? (['event-log.db'] as const) : BACKUP_FILES;
      requireMissing(dataDir, wanted);
      const source = resolve(directory);
      const { createdAt, logId, files } = await readManifest(source);
      const restored = wanted.flatMap((name) => files.filter((file) => file.name === name));
      await restoreFrom(source, { logId, files: restored }, configuration);
      printResult({ dataDir, createdAt, logId, files: restored }, [
        `${restored.map(({ name }) => name).join(' and ')} in ${dataDir}: as of ${createdAt}`,
        'What was revoked since then is good again: revoke it anew.',
      ]);
    });

/** The files that SQLite makes for a database: the database itself, its write-ahead log, and that log's index. */
const withSidecars = (path: string): string[] => [path, `${path}-wal`, `${path}-shm`];

/** Throws `CommandFailed` if a store is there: it might be in use, and might hold what the backup does not. */
function requireMissing(dataDir: string, names: readonly BackupFile[]): void {
  const found = names.flatMap((name) => withSidecars(join(dataDir, name))).find((path) => existsSync(path));
  if (found === undefined) return;
  throw new CommandFailed(ExitCode.FAILED, `${found} exists: stop the service, and move it away`);
}

/**
 * 1. Verify the files of the backup, copy them under temporary names, and verify the copies.
 * 2. Verify the copied log's id, and that its master key is this environment's.
 * 3. Sync the copies to disk, and rename them. So a file under its final name is complete and verified.
 *
 * The log is renamed first. If the power is lost after that, the service builds the read models from the log.
 */
async function restoreFrom(
  source: string,
  { files, logId }: Pick<Manifest, 'files' | 'logId'>,
  configuration: Configuration,
): Promise<void> {
  const { dataDir } = configuration;
  const temporary = (name: string) => join(dataDir, `${name}.restoring`);
  for (const file of files) await requireListed(join(source, file.name), file);
  try {
    for (const file of files) {
      await copyFile(join(source, file.name), temporary(file.name));
      await requireListed(temporary(file.name), file);
    }
    await requireLog(temporary('event-log.db'), logId, configuration);
    for (const { name } of files) await sync(temporary(name));
    for (const { name } of files) await rename(temporary(name), join(dataDir, name));
    await sync(dataDir);
  } finally {
    for (const { name } of files) {
      for (const path of withSidecars(temporary(name))) await rm(path, { force: true });
    }
  }
}

/** Throws `CommandFailed` if the file holds another log, and `MasterKeyMismatch` if its master key is another one. */
async function requireLog(file: string, logId: string, configuration: Configuration): Promise<void> {
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  const log = await openSqliteEventLog({ file });
  try {
    if ((await readLogId(log)) !== logId) throw new CommandFailed(ExitCode.FAILED, `${file} is not log ${logId}`);
    await requireOwnMasterKeys(log, configuration);
  } finally {
    await log.close();
  }
  // The file is renamed without its `-wal`.
  const { emptyWal } = await import('./sqlite-copy.js');
  emptyWal(file);
}
