import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdminTokenFile } from '#tokens';

describe("the administrator's token", () => {
  let directory: string;
  let path: string;
  const inFile = async () => (await readFile(path, 'utf8')).trim();

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'admin-token-'));
    path = join(directory, 'admin.token');
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('is 32 random bytes in a file that only its owner can read', async () => {
    await new AdminTokenFile(path).ensure();
    expect(await inFile()).toMatch(/^cca_[A-Za-z0-9_-]{43}$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('survives a restart, and processes that start at once share one token', async () => {
    const files = Array.from({ length: 8 }, () => new AdminTokenFile(path));
    await Promise.all(files.map((file) => file.ensure()));
    const token = await inFile();
    await new AdminTokenFile(path).ensure();
    expect(await inFile()).toBe(token);
    expect(files.every((file) => file.matches(token))).toBe(true);
    expect(await readdir(directory)).toEqual(['admin.token']);
  });

  it('is only the token in the file', async () => {
    const file = new AdminTokenFile(path);
    await file.ensure();
    const token = await inFile();
    for (const other of ['', 'cca_', token.slice(0, -1), `${token} `, token.toLowerCase()]) {
      expect(file.matches(other)).toBe(false);
    }
    expect(file.matches(token)).toBe(true);
  });

  it('is refused as soon as another process has rotated it, every time', async () => {
    const [server, cli] = [new AdminTokenFile(path), new AdminTokenFile(path)];
    await server.ensure();
    for (let rotation = 0; rotation < 50; rotation++) {
      const former = await inFile();
      expect(server.matches(former)).toBe(true);
      await cli.rotate();
      expect(server.matches(former)).toBe(false);
      expect(server.matches(await inFile())).toBe(true);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['admin.token']);
  });

  it('is always refused while the file is missing or holds something else', async () => {
    const file = new AdminTokenFile(path);
    expect(file.matches('')).toBe(false);
    await file.ensure();
    const token = await inFile();
    expect(file.matches(token)).toBe(true);
    await writeFile(path, 'letmein');
    expect([token, 'letmein', ''].map((bearer) => file.matches(bearer))).toEqual([false, false, false]);
    await rm(path);
    expect(file.matches(token)).toBe(false);
  });
});
