import { existsSync } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createCommand } from 'commander';
import { type Configuration, ConfigurationError, configurationFrom, systemClock } from '#platform/without-http';
import { prepareNamedDirectory, withBook } from '../environment.js';
import { usageError } from '../exit.js';
import { printResult } from '../output.js';
import { type BackupFile, MANIFEST, type Manifest, manifestOf, sync, writeManifest } from './manifest.js';

/** `backup`: copies the SQLite files of `DATA_DIR` while the service runs. */
export const backupCommand = () =>
  createCommand('backup')
    .description('copy the SQLite files of DATA_DIR while the service runs; the master key is not among them')
    .argument('<directory>', 'where to; it must be empty, or missing')
    .action(async (directory: string) => {
      const configuration = configurationFrom(process.env);
      requireEmbeddedLog(configuration);
      const logId = await withBook((book) => Promise.resolve(book.logId));
      const target = resolve(directory);
      const { files } = await backUp(configuration, target, logId);
      const lines = files.map(({ name, bytes, sha256 }) => `${sha256}  ${name}  ${bytes} bytes`);
      printResult({ directory: target, files }, [...lines, `The backup is in ${target}`]);
    });

/** Throws `ConfigurationError` if the event log is not an SQLite file. */
export function requireEmbeddedLog({ eventStoreDbUrl }: Configuration): void {
  if (eventStoreDbUrl === undefined) return;
  throw new ConfigurationError('EVENTSTOREDB_URL', 'is set: only SQLite files are backed up by this command');
}

/**
 * Copies the read models first and the log second. So the copied log has every event that a checkpoint of the copied
 * read models names; the other way round, the read models might be ahead of the log, and would have to be rebuilt.
 */
async function backUp({ dataDir, mongoDbUrl }: Configuration, target: string, logId: string): Promise<Manifest> {
  const hasReadModels = mongoDbUrl === undefined && existsSync(join(dataDir, 'read-models.db'));
  const names: BackupFile[] = hasReadModels ? ['read-models.db', 'event-log.db'] : ['event-log.db'];
  const createdAt = systemClock().toISOString();
  prepareNamedDirectory(target, '<directory>');
  if ((await readdir(target)).length > 0) throw notEmpty(target);
  const { copySqlite, requireIntact } = await import('./sqlite-copy.js');
  const made: string[] = [];
  const make = async (name: string) => {
    const path = join(target, name);
    await createEmpty(path);
    made.push(path);
    return path;
  };
  try {
    for (const name of names) copySqlite(join(dataDir, name), await make(name));
    for (const name of names) {
      await sync(join(target, name));
      requireIntact(join(target, name));
    }
    const manifest = await manifestOf(target, names, { createdAt, logId });
    await writeManifest(await make(MANIFEST), manifest);
    await sync(target);
    return manifest;
  } catch (error) {
    // Otherwise the next try would find a directory that is not empty. A file that this backup has not made belongs to
    // another backup, which has begun in the same directory at the same moment.
    for (const path of made) await rm(path, { force: true });
    throw error;
  }
}

/** Creates an empty file for its owner only. Throws a usage error if the file exists. */
async function createEmpty(path: string): Promise<void> {
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw exists ? notEmpty(dirname(path)) : error;
  }
}

const notEmpty = (directory: string) => usageError(`${directory} is not empty`);
