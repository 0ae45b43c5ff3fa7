import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationError, gatewaySecretIn, masterKeyIn } from './configuration.js';

/** Where the standalone keeps its master key: 32 bytes in base64. Losing it loses every credential. */
export const masterKeyPath = (dataDir: string): string => join(dataDir, 'master.key');

/** Where the bootstrap administrator's token lies. */
export const adminTokenPath = (dataDir: string): string => join(dataDir, 'admin.token');

/** What gateways send as `X-Gateway-Secret`: 32 random bytes in base64url. */
export const gatewaySecretPath = (dataDir: string): string => join(dataDir, 'gateway.secret');

/** Makes the directory with mode 0700 where it is missing. Throws `ConfigurationError` where it can't be made. */
export const prepareDataDir = (dataDir: string): void => {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new ConfigurationError('DATA_DIR', `can not be made: ${cause instanceof Error ? cause.message : dataDir}`);
  }
};

/**
 * The standalone's own master key (32 bytes), made at the first start with mode 0600 and never overwritten: two
 * processes that start at once get the same one. Throws `ConfigurationError` when the file holds no such key.
 */
export function standaloneMasterKey(dataDir: string): Buffer {
  const path = masterKeyPath(dataDir);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) writeOnce(path, randomBytes(32).toString('base64'));
  return masterKeyIn(readFileSync(path, 'utf8').trim(), path);
}

/** The standalone's own gateway secret, made likewise. Throws `ConfigurationError` when the file holds no such secret. */
export function standaloneGatewaySecret(dataDir: string): string {
  const path = gatewaySecretPath(dataDir);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) writeOnce(path, randomBytes(32).toString('base64url'));
  return gatewaySecretIn(readFileSync(path, 'utf8').trim(), path);
}

/** Whether the file's group or others may read it: a secret's owner should be told. */
export const readableByOthers = (path: string): boolean => (statSync(path).mode & 0o044) !== 0;

/** Whoever links first wins; the path never shows a file that is empty or half written, not even after a crash. */
function writeOnce(path: string, contents: string): void {
  const next = `${path}.${randomBytes(6).toString('hex')}`;
  writeSynced(next, contents);
  try {
    linkSync(next, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    unlinkSync(next);
  }
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function writeSynced(path: string, contents: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, `${contents}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
