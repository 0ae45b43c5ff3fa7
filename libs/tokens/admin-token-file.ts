import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RandomBytes } from '#credentials';

const TOKEN = /^cca_[A-Za-z0-9_-]{43}$/;

/** The path of the file that contains the administrator's token. */
export const adminTokenPath = (dataDir: string): string => join(dataDir, 'admin.token');

/**
 * The file with the administrator's token: `cca_` and 32 random bytes in base64url. Only the file's owner can read the
 * file (mode 0600), and the token is never printed. Anyone who can read the file can act as administrator.
 */
export class AdminTokenFile {
  #version = '';
  #digest: Buffer | undefined;

  constructor(
    readonly path: string,
    private readonly random: RandomBytes = randomBytes,
  ) {}

  /**
   * Creates the file with a first token if there is no file yet. If several processes start at the same time, all of
   * them use the same token. Throws Node's error if the file can't be made or read.
   */
  async ensure(): Promise<void> {
    try {
      await this.writeThen(link);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    this.refresh();
  }

  /** Replaces the token. All processes refuse the old token from then on. */
  rotate(): Promise<void> {
    return this.writeThen(rename);
  }

  /** Whether `bearer` equals the token in the file at this moment. Returns false if there is no file. */
  matches(bearer: string): boolean {
    this.refresh();
    return this.#digest !== undefined && timingSafeEqual(sha256(bearer), this.#digest);
  }

  /**
   * Reads the file again if the file has changed. We use a synchronous stat, which takes microseconds. An asynchronous
   * stat would have to wait for Argon2 computations in the thread pool.
   */
  private refresh(): void {
    const stat = statSync(this.path, { bigint: true, throwIfNoEntry: false });
    const version = stat ? `${stat.ino}/${stat.ctimeNs}/${stat.size}` : '';
    if (version === this.#version) return;
    const token = stat ? readFileSync(this.path, 'utf8').trim() : '';
    this.#digest = TOKEN.test(token) ? sha256(token) : undefined;
    this.#version = version;
  }

  /** Writes a new token to a temporary file first. The file at `path` is thus always complete, even after a crash. */
  private async writeThen(putInPlace: (from: string, to: string) => Promise<void>): Promise<void> {
    const next = `${this.path}.${this.random(6).toString('hex')}`;
    try {
      const token = `cca_${this.random(32).toString('base64url')}`;
      await writeFile(next, `${token}\n`, { flag: 'wx', mode: 0o600, flush: true });
      await putInPlace(next, this.path);
    } finally {
      await rm(next, { force: true });
    }
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();

const isSystemError = (error: unknown, code: string) =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === code;
