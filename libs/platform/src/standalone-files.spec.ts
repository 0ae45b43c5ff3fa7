import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  ConfigurationError,
  gatewaySecretPath,
  masterKeyPath,
  prepareDataDir,
  readableByOthers,
  standaloneGatewaySecret,
  standaloneMasterKey,
} from '#platform';

const newDataDir = () => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'standalone-')), 'nested', 'data');
  prepareDataDir(dataDir);
  return dataDir;
};
const mode = (path: string) => statSync(path).mode & 0o777;

describe("the standalone's files", () => {
  it('are only for their owner, and the key stays the same from start to start', () => {
    const dataDir = newDataDir();
    const key = standaloneMasterKey(dataDir);
    expect(key).toHaveLength(32);
    expect(mode(dataDir)).toBe(0o700);
    expect(mode(masterKeyPath(dataDir))).toBe(0o600);
    prepareDataDir(dataDir);
    expect(standaloneMasterKey(dataDir)).toEqual(key);
    expect(standaloneMasterKey(newDataDir())).not.toEqual(key);
  });

  it('are one set for processes that start at once, and leave nothing beside them', async () => {
    const dataDir = newDataDir();
    const start = `process.stdout.write(require('#platform').standaloneMasterKey(${JSON.stringify(dataDir)}).toString('base64'))`;
    const starts = await Promise.all(
      Array.from({ length: 4 }, () => promisify(execFile)(process.execPath, ['-e', start])),
    );
    const written = readFileSync(masterKeyPath(dataDir), 'utf8').trim();
    expect(starts.map(({ stdout }) => stdout)).toEqual(Array(4).fill(written));
    expect(readdirSync(dataDir)).toEqual(['master.key']);
  });

  it('are never overwritten: a damaged key stops the start', () => {
    const dataDir = newDataDir();
    writeFileSync(masterKeyPath(dataDir), 'half a k');
    expect(() => standaloneMasterKey(dataDir)).toThrow(ConfigurationError);
    expect(readFileSync(masterKeyPath(dataDir), 'utf8')).toBe('half a k');
  });

  it('hold the gateway secret, made once, unless it was put there', () => {
    const dataDir = newDataDir();
    const secret = standaloneGatewaySecret(dataDir);
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(mode(gatewaySecretPath(dataDir))).toBe(0o600);
    expect(standaloneGatewaySecret(dataDir)).toBe(secret);
    writeFileSync(gatewaySecretPath(dataDir), 'too short');
    expect(() => standaloneGatewaySecret(dataDir)).toThrow(ConfigurationError);
  });

  it('tell when others may read them', () => {
    const dataDir = newDataDir();
    standaloneMasterKey(dataDir);
    expect(readableByOthers(masterKeyPath(dataDir))).toBe(false);
    chmodSync(masterKeyPath(dataDir), 0o640);
    expect(readableByOthers(masterKeyPath(dataDir))).toBe(true);
  });
});
