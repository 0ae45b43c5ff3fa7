import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, prepareDataDir } from '#platform';

const folder = mkdtempSync(join(tmpdir(), 'data-dir-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it('is made with its parents, for its owner only, and may be there already', () => {
  const dataDir = join(folder, 'a', 'b', 'c');
  prepareDataDir(dataDir);
  prepareDataDir(dataDir);
  expect(statSync(dataDir).mode & 0o777).toBe(0o700);
});

it.each([
  ['a file', () => file('file'), 'not a directory'],
  ['a path below a file', () => join(file('below'), 'data'), 'below is not a directory'],
  ['a path far below a file', () => join(file('far-below'), 'a', 'b'), 'far-below is not a directory'],
  ['a link that leads nowhere', () => link('link', join(folder, 'nowhere')), 'EEXIST'],
  ['a place where nothing can be made', () => '/proc/x', 'ENOENT'],
  ['a place below that', () => '/proc/x/y', 'ENOENT'],
  ['a link to itself', () => link('loop', join(folder, 'loop')), 'ELOOP'],
])('%s is refused with the name of the variable, and nothing is made', (_, path, reason) => {
  const dataDir = path();
  const prepare = () => {
    prepareDataDir(dataDir);
  };
  expect(prepare).toThrow(ConfigurationError);
  expect(prepare).toThrow(new RegExp(`^DATA_DIR can't be used \\(${dataDir}\\): .*${reason}`));
  expect(existsSync(join(folder, 'nowhere'))).toBe(false);
});

function file(name: string): string {
  writeFileSync(join(folder, name), '');
  return join(folder, name);
}

function link(name: string, target: string): string {
  symlinkSync(target, join(folder, name));
  return join(folder, name);
}
