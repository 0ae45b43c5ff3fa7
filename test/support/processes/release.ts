import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(__dirname, '../../..');

/** A change of a built file. The file must contain the text `from` exactly once. */
export interface Patch {
  /** The file's path, relative to `dist`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Another release of our service: a copy of the build, to which patches have been applied. */
export class Release {
  private constructor(readonly folder: string) {}

  static make(patches: readonly Patch[]): Release {
    const folder = mkdtempSync(join(tmpdir(), 'release-'));
    for (const path of ['dist', 'package.json']) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const { file, from, to } of patches) {
      const path = join(folder, 'dist', file);
      const [before, after, ...more] = readFileSync(path, 'utf8').split(from);
      if (after === undefined || more.length > 0) throw new Error(`${from} is not in ${file} once`);
      writeFileSync(path, `${before}${to}${after}`);
    }
    return new Release(folder);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
