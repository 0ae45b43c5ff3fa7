import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandFailed, ExitCode, notFound } from '../exit.js';

export const MANIFEST = 'manifest.json';
const FORMAT = 1;

/** The files of a backup, in the order in which they are put in place. */
export const BACKUP_FILES = ['event-log.db', 'read-models.db'] as const;
export type BackupFile = (typeof BACKUP_FILES)[number];

export interface ManifestEntry {
  readonly name: BackupFile;
  readonly bytes: number;
  /** SHA-256 of the file, in hex. */
  readonly sha256: string;
}

/** What a backup holds. It is written last, so a backup with a manifest is complete. */
export interface Manifest {
  readonly format: typeof FORMAT;
  /** When the backup was begun. */
  readonly createdAt: string;
  readonly logId: string;
  readonly files: readonly ManifestEntry[];
}

/** Describes files of the directory. */
export async function manifestOf(
  directory: string,
  names: readonly BackupFile[],
  about: Pick<Manifest, 'createdAt' | 'logId'>,
): Promise<Manifest> {
  const files = await Promise.all(names.map(async (name) => ({ name, ...(await measured(join(directory, name))) })));
  return { format: FORMAT, ...about, files };
}

async function measured(path: string): Promise<Omit<ManifestEntry, 'name'>> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return { bytes: (await stat(path)).size, sha256: hash.digest('hex') };
}

export const writeManifest = (path: string, manifest: Manifest): Promise<void> =>
  writeFile(path, `${JSON.stringify(manifest, undefined, 2)}\n`, { flush: true });

/** Throws `CommandFailed` if the file is missing, or differs from its entry in the manifest. */
export async function requireListed(path: string, { bytes, sha256 }: ManifestEntry): Promise<void> {
  const found = await measured(path).catch(() => undefined);
  if (found?.bytes === bytes && found.sha256 === sha256) return;
  throw damaged(`${path} ${found ? 'differs from the manifest' : 'can’t be read'}`);
}

/** Reads the manifest of a backup. Throws `CommandFailed` if there is none, or none that this release can read. */
export async function readManifest(directory: string): Promise<Manifest> {
  const path = join(directory, MANIFEST);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) throw notFound(`There is no complete backup in ${directory}: it has no ${MANIFEST}`);
  const manifest = parsed(text);
  if (!isManifest(manifest)) throw damaged(`${path} is no manifest that this release can read`);
  return manifest;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The names become paths, so no other names are accepted, and each name only once. */
const isManifest = (value: unknown): value is Manifest => {
  const { format, createdAt, logId, files } = (value ?? {}) as Partial<Record<keyof Manifest, unknown>>;
  if (format !== FORMAT || !isInstant(createdAt) || typeof logId !== 'string' || !Array.isArray(files)) return false;
  const names = files.map((file: Partial<ManifestEntry> | null) => file?.name);
  if (new Set(names).size < names.length) return false;
  return names.includes('event-log.db') && names.every((name) => BACKUP_FILES.some((known) => known === name));
};

/** Whether the value is what `Date.toISOString` returns. `Date.parse` alone accepts any text in parentheses. */
const isInstant = (value: unknown): boolean =>
  typeof value === 'string' && !Number.isNaN(Date.parse(value)) && new Date(value).toISOString() === value;

const damaged = (message: string) => new CommandFailed(ExitCode.FAILED, message);

/** Makes a file, or the names in a directory, survive a loss of power. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
