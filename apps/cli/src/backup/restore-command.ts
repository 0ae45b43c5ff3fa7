import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createCommand } from 'commander';
import { adoptLog, readLogId, SQLITE_SIDE_FILES } from '#event-log';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import { masterKeysOf, operatorContext, requireOwnMasterKeys, subjectOption } from '../environment.js';
import { CommandFailed, ExitCode } from '../exit.js';
import { printResult } from '../output.js';
import { requireEmbeddedLog } from './backup-command.js';
import { BACKUP_FILES, type BackupFile, type Manifest, readManifest, requireListed, sync } from './manifest.js';

interface RestoreOptions {
  readonly logOnly?: true;
  readonly subject: string;
}

/** `restore`: puts the files of a backup into `DATA_DIR`. The service must not run. */
export const restoreCommand = () =>
  createCommand('restore')
    .description('verify a backup and put it into DATA_DIR, which holds the master key but no stores')
    .argument('<directory>', 'the backup')
    .option('--log-only', 'restore the event log beside newer read models, which know the revocations that it lacks')
    .addOption(subjectOption())
    .action(async (directory: string, { logOnly, subject }: RestoreOptions) => {
      const configuration = configurationFrom(process.env);
      requireEmbeddedLog(configuration);
      masterKeysOf(configuration);
      const { dataDir } = configuration;
      const wanted = logOnly ? (['event-log.db'] as const) : BACKUP_FILES;
      requireMissing(dataDir, wanted);
      const source = resolve(directory);
      const manifest = await readManifest(source);
      const { createdAt, logId } = manifest;
      const files = wanted.flatMap((name) => manifest.files.filter((file) => file.name === name));
      await restoreFrom(source, { ...manifest, files }, configuration, subject);
      printResult({ dataDir, createdAt, logId, files }, [
        `${files.map(({ name }) => name).join(' and ')} in ${dataDir}: as of ${createdAt}`,
        'What was revoked since then is good again: revoke it anew.',
        "No tree head is signed until 'log adopt --since <file>' or '--new-origin' has said from which one to go on.",
      ]);
    });

/** The database, and the files that SQLite makes beside it. */
const withSideFiles = (path: string): string[] => [path, ...SQLITE_SIDE_FILES.map((suffix) => path + suffix)];

/** Throws `CommandFailed` if a store is there: it might be in use, and might hold what the backup does not. */
function requireMissing(dataDir: string, names: readonly BackupFile[]): void {
  const found = names.flatMap((name) => withSideFiles(join(dataDir, name))).find((path) => existsSync(path));
  if (found === undefined) return;
  throw new CommandFailed(ExitCode.FAILED, `${found} exists: stop the service, and move it away`);
}

/**
 * 1. Verify the files of the backup, remove what a restore that was killed has left, copy the files under temporary
 *    names, and verify the copies.
 * 2. Verify the copied log's id, and that its master key is this environment's, and append the restore to it as an
 *    adoption. Heads of the tree may have been signed after the backup, and nothing else in this log tells it: the next
 *    head could have the size of one of them, and another root.
 * 3. Sync the copies to disk, and rename them. So a file under its final name is complete and verified.
 *
 * The log is renamed first. If the power is lost after that, the service builds the read models from the log.
 */
async function restoreFrom(
  source: string,
  { files, ...backup }: Manifest,
  configuration: Configuration,
  subject: string,
): Promise<void> {
  const { dataDir } = configuration;
  const temporary = (name: BackupFile) => join(dataDir, `${name}.restoring`);
  const removeTemporaryFiles = async () => {
    const paths = BACKUP_FILES.flatMap((name) => withSideFiles(temporary(name)));
    for (const path of paths) await rm(path, { force: true });
  };
  for (const file of files) await requireListed(join(source, file.name), file);
  // SQLite would apply the write-ahead log of an earlier copy to the new copy.
  await removeTemporaryFiles();
  try {
    for (const file of files) {
      await copyForOwner(join(source, file.name), temporary(file.name));
      await requireListed(temporary(file.name), file);
    }
    await prepareLog(temporary('event-log.db'), backup, configuration, subject);
    for (const { name } of files) await sync(temporary(name));
    for (const { name } of files) await rename(temporary(name), join(dataDir, name));
    await sync(dataDir);
  } finally {
    await removeTemporaryFiles();
  }
}

/**
 * Copies the file to `target`, which must not exist. Only the owner may read and write the copy, whatever the mode of
 * the file: the stores hold verifiers and encrypted private keys, and SQLite gives its `-wal` file the same mode.
 */
const copyForOwner = (file: string, target: string): Promise<void> =>
  pipeline(createReadStream(file), createWriteStream(target, { flags: 'wx', mode: 0o600 }));

/**
 * Appends the adoption. Throws `CommandFailed` if the file holds another log, and `MasterKeyMismatch` if its master key is
 * another one.
 */
async function prepareLog(
  file: string,
  { createdAt, logId }: Pick<Manifest, 'createdAt' | 'logId'>,
  configuration: Configuration,
  subject: string,
): Promise<void> {
  const { openSqliteEventLog } = await import('#event-log/sqlite');
  const log = await openSqliteEventLog({ file });
  try {
    if ((await readLogId(log)) !== logId) throw new CommandFailed(ExitCode.FAILED, `${file} is not log ${logId}`);
    await requireOwnMasterKeys(log, configuration);
    const reason = `Restored from the backup of ${createdAt}`;
    await adoptLog(log, { reason, context: operatorContext(subject), now: systemClock });
  } finally {
    await log.close();
  }
  // The file is renamed without its `-wal`.
  const { emptyWal } = await import('./sqlite-copy.js');
  emptyWal(file);
}
