import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import type { RandomBytes } from '#credentials';

const TOKEN = /^cca_[A-Za-z0-9_-]{43}$/;

/**
 * The bootstrap administrator's token: `cca_` and 32 random bytes in base64url, in a file (mode 0600) that only its
 * owner reads. It is never printed; whoever may read the file has it.
 */
export class AdminTokenFile {
  #version = '';
  #digest: Buffer | undefined;

  constructor(
    readonly path: string,
    private readonly random: RandomBytes = randomBytes,
  ) {}

  /** Makes the first token where there is no file yet; processes that start at once keep the same one. */
  async ensure(): Promise<void> {
    try {
      await this.writeThen(link);
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
  }

  /** Replaces the token at once and for all processes; the former one is refused from then on. */
  rotate(): Promise<void> {
    return this.writeThen(rename);
  }

  /** Whether `bearer` is the token that the file holds now; no token is, while there is no file. */
  matches(bearer: string): boolean {
    this.refresh();
    return this.#digest !== undefined && timingSafeEqual(sha256(bearer), this.#digest);
  }

  /** A stat takes microseconds and no thread of the pool, where it would queue behind Argon2 runs. */
  private refresh(): void {
    const stat = statSync(this.path, { bigint: true, throwIfNoEntry: false });
    const version = stat ? `${stat.ino}/${stat.ctimeNs}/${stat.size}` : '';
    if (version === this.#version) return;
    const token = stat ? readFileSync(this.path, 'utf8').trim() : '';
    this.#digest = TOKEN.test(token) ? sha256(token) : undefined;
    this.#version = version;
  }

  /** The path never shows a file that is empty or half written, not even after a crash. */
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
