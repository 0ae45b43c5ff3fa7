import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ConfigurationError, prepareDataDir } from '#platform';
import { masterKeyPath, standaloneMasterKey } from '#stores';

const newDataDir = () => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'standalone-')), 'nested', 'data');
  prepareDataDir(dataDir);
  return dataDir;
};
const mode = (path: string) => statSync(path).mode & 0o777;

describe("the standalone's master key", () => {
  it('is only for its owner, and stays the same from start to start', () => {
    const dataDir = newDataDir();
    const key = standaloneMasterKey(dataDir);
    expect(key).toHaveLength(32);
    expect(mode(dataDir)).toBe(0o700);
    expect(mode(masterKeyPath(dataDir))).toBe(0o600);
    prepareDataDir(dataDir);
    expect(standaloneMasterKey(dataDir)).toEqual(key);
    expect(standaloneMasterKey(newDataDir())).not.toEqual(key);
  });

  it('is one for processes that start at once, and leaves nothing beside it', async () => {
    const dataDir = newDataDir();
    const start = `process.stdout.write(require('#stores').standaloneMasterKey(${JSON.stringify(dataDir)}).toString('base64'))`;
    const starts = await Promise.all(
      Array.from({ length: 4 }, () => promisify(execFile)(process.execPath, ['-e', start])),
    );
    const written = readFileSync(masterKeyPath(dataDir), 'utf8').trim();
    expect(starts.map(({ stdout }) => stdout)).toEqual(Array(4).fill(written));
    expect(readdirSync(dataDir)).toEqual(['master.key']);
  });

  it('is never overwritten: a damaged key stops the start', () => {
    const dataDir = newDataDir();
    writeFileSync(masterKeyPath(dataDir), 'half a k');
    expect(() => standaloneMasterKey(dataDir)).toThrow(ConfigurationError);
    expect(readFileSync(masterKeyPath(dataDir), 'utf8')).toBe('half a k');
  });
});
