import { readFileSync } from 'node:fs';

/** Reads a file that a setting names. Throws Node's error with the file's `path`, which Node omits for a directory. */
export function readNamedFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
}
