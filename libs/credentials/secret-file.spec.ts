import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readableByOthers, secretInFile } from '#credentials';

describe("a secret's file", () => {
  it('reports a file that others may read', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'secret-file-')), 'secret');
    secretInFile(path, () => 'a secret');
    expect(readableByOthers(path)).toBe(false);
    chmodSync(path, 0o640);
    expect(readableByOthers(path)).toBe(true);
  });
});
