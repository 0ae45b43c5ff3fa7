import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BundleFiles, checkedFiles, LIMITS, parseBundle, UnreadableBundle } from '#evidence';

/** Reads a bundle: a file with its JSON form, or a directory with its files. Throws `UnreadableBundle`. */
export async function bundleAt(path: string): Promise<BundleFiles> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return checkedFiles(await filesIn(path));
    if (found.size > LIMITS.jsonBytes) throw new UnreadableBundle('It is larger than 256 MiB: write it as a directory');
    return parseBundle(await readFile(path));
  } catch (error) {
    if (error instanceof UnreadableBundle || !isSystemError(error)) throw error;
    throw new UnreadableBundle(error.message);
  }
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'code' in error;

async function filesIn(root: string, below = ''): Promise<[name: string, bytes: Uint8Array][]> {
  const files: [string, Uint8Array][] = [];
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const name = `${below}${entry.name}`;
    if (entry.isDirectory()) {
      files.push(...(await filesIn(root, `${name}/`)));
    } else if (entry.isFile()) {
      files.push([name, await smallFile(join(root, name))]);
    } else {
      // A link could lead to a file that was never in the bundle.
      throw new UnreadableBundle(`${name} is neither a file nor a directory`);
    }
  }
  return files;
}

async function smallFile(path: string): Promise<Uint8Array> {
  if ((await stat(path)).size > LIMITS.fileBytes) throw new UnreadableBundle(`${path} is larger than 2 MiB`);
  return readFile(path);
}
