import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, send } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { Portal, readAfter } from '../support/api/portal.js';
import { eventsIn, expectSoundLog } from '../support/events/audit.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let directory: string;
let dataDir: string;
let backup: string;
let service: Standalone;
let portal: Portal;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'backup-'));
  [dataDir, backup] = [join(directory, 'data'), join(directory, 'backup')];
  mkdirSync(dataDir);
  service = await Standalone.startReady({ dataDir });
  portal = Portal.of(service);
});
afterEach(async () => {
  await service.stop();
  rmSync(directory, { recursive: true });
});

const backUp = (env = {}) => Cli.run(['backup', backup], { DATA_DIR: dataDir, ...env });
const preloaded = (double: string) => ({
  NODE_OPTIONS: `--require ${join(__dirname, '../support/doubles', double)}`,
});
const restore = (into: string) => Cli.run(['restore', backup], { DATA_DIR: into });

/** Expects that the backup is not restored, with this exit code and message. */
async function expectRefused(into: string, exitCode: number, message: string): Promise<void> {
  const { code, stderr } = await restore(into);
  expect(code).toBe(exitCode);
  expect(stderr).toContain(message);
}

/** Returns the access modes of the stores and of the other files that SQLite keeps beside them. */
const modesOfStores = (of: string): string[] =>
  readdirSync(of)
    .filter((name) => name.includes('.db'))
    .map((name) => `${name}: ${(statSync(join(of, name)).mode & 0o777).toString(8)}`);

/** Makes an empty data directory that holds the master key. */
const freshDataDir = (): string => {
  const fresh = mkdtempSync(join(directory, 'fresh-'));
  copyFileSync(join(dataDir, 'master.key'), join(fresh, 'master.key'));
  return fresh;
};

test('a backup of a running service is restored: log and read models fit, and nothing is rebuilt', async () => {
  const client = await portal.newClient('OAUTH2');
  const load = { isOver: false };
  const writing = (async () => {
    for (let number = 0; !load.isOver; number++) await portal.rename(client.clientId, `Importer ${number}`);
  })();
  expect(await backUp()).toMatchObject({ code: 0 });
  load.isOver = true;
  await writing;
  await portal.get(client.clientId, readAfter(await portal.rename(client.clientId, 'After the backup')));
  expect(readdirSync(backup).sort()).toEqual(['event-log.db', 'manifest.json', 'read-models.db']);

  const restored = freshDataDir();
  expect(await restore(restored)).toMatchObject({ code: 0 });
  const events = await eventsIn(restored);
  await expectSoundLog(events);
  const adoption = events.pop();
  expect(adoption).toMatchObject({
    type: 'LogAdopted',
    data: { reason: expect.stringMatching(/^Restored from the/) as string },
  });
  expect(events).toEqual((await eventsIn(dataDir)).slice(0, events.length));
  expect(events.map(({ data }) => data)).not.toContainEqual({ name: 'After the backup' });

  await service.stop();
  service = await Standalone.startReady({ dataDir: restored });
  portal = Portal.of(service);
  expect((await oauthLogin(service.url, client)).status).toBe(200);
  const listed = await eventually(
    async () => {
      const { stdout } = await Cli.run(['projections', 'list', '--json'], { DATA_DIR: restored });
      return JSON.parse(stdout) as { readonly build: string; readonly state: string }[];
    },
    (builds) => builds.every(({ state }) => state === 'CURRENT'),
  );
  for (const { build } of listed) expect(build).toMatch(/_1$/);
});

test('a backup that was changed, is incomplete, or needs another master key is not restored', async () => {
  expect(await backUp()).toMatchObject({ code: 0 });
  const fresh = freshDataDir();
  const masterKey = readFileSync(join(fresh, 'master.key'));
  writeFileSync(join(fresh, 'master.key'), randomBytes(32).toString('base64'));
  await expectRefused(fresh, 78, 'MASTER_KEY is not the key');
  expect(readdirSync(fresh)).toEqual(['master.key']);
  writeFileSync(join(fresh, 'master.key'), masterKey);
  appendFileSync(join(backup, 'read-models.db'), 'x');
  await expectRefused(fresh, 1, 'read-models.db differs');
  rmSync(join(backup, 'read-models.db'));
  await expectRefused(fresh, 1, 'can’t be read');
  const manifestFile = join(backup, 'manifest.json');
  const manifest = JSON.parse(readFileSync(manifestFile, 'utf8')) as { readonly files: readonly unknown[] };
  for (const changed of [
    { createdAt: undefined },
    { createdAt: 'Monday' },
    { createdAt: '(\u001b[31m) 2026-11-30' },
    { files: [...manifest.files, ...manifest.files] },
  ]) {
    writeFileSync(manifestFile, JSON.stringify({ ...manifest, ...changed }));
    await expectRefused(fresh, 1, 'is no manifest that this release can read');
  }
  rmSync(manifestFile);
  await expectRefused(fresh, 4, 'no manifest.json');
  expect(readdirSync(fresh)).toEqual(['master.key']);
});

test('the log alone is restored beside newer read models, which tell the revocations that are lost', async () => {
  const client = await portal.newClient('OAUTH2');
  expect(await backUp()).toMatchObject({ code: 0 });
  await portal.get(client.clientId, readAfter(await portal.revoke(client.clientId)));
  expect(await service.stop()).toBe(0);

  const fresh = freshDataDir();
  expect(await Cli.run(['restore', backup, '--log-only'], { DATA_DIR: fresh })).toMatchObject({ code: 0 });
  for (const reading of [
    ['projections', 'list'],
    ['clients', 'find'],
    ['log', 'adopt', '--list-revoked'],
  ]) {
    const { code, stderr } = await Cli.run(reading, { DATA_DIR: fresh });
    expect([reading, code, stderr]).toEqual([reading, 78, expect.stringMatching(/^DATA_DIR has no read models .+\n$/)]);
  }
  expect(readdirSync(fresh)).not.toContain('read-models.db');

  for (const name of readdirSync(dataDir)) if (name.startsWith('event-log.db')) rmSync(join(dataDir, name));
  await expectRefused(dataDir, 1, 'read-models.db exists');
  // A start must not begin a new log in place of the one that is to be restored.
  await expect(Standalone.start({ dataDir })).rejects.toThrow(
    /DATA_DIR has read models of log [0-9a-f-]{36}, but its event log is missing or empty/,
  );
  expect(readdirSync(dataDir)).not.toContain('event-log.db');
  expect(await Cli.run(['restore', backup, '--log-only'], { DATA_DIR: dataDir })).toMatchObject({ code: 0 });
  service = await Standalone.start({ dataDir });
  expect((await oauthLogin(service.url, client)).status).toBe(200);
  const { stdout } = await Cli.run(['log', 'adopt', '--list-revoked', '--json'], { DATA_DIR: dataDir });
  expect(JSON.parse(stdout)).toMatchObject({ lost: [{ clientId: client.clientId }], unreadable: [] });
});

test('a restored log signs no head until it was shown to extend the newest one that anybody has', async () => {
  const forced = () => send('POST', service.url, '/v1/log/heads', { headers: asAuditor() });
  const asAuditor = () => ({ authorization: `Bearer ${service.adminToken}` });
  await portal.newClient();
  const kept = join(directory, 'kept-head');
  writeFileSync(kept, (await forced()).text);
  expect(await backUp()).toMatchObject({ code: 0 });
  await portal.newClient();
  const lost = join(directory, 'lost-head');
  writeFileSync(lost, (await forced()).text);
  await service.stop();

  const restored = freshDataDir();
  expect(await restore(restored)).toMatchObject({ code: 0 });
  service = await Standalone.startReady({ dataDir: restored });
  portal = Portal.of(service);
  await portal.newClient();
  await portal.newClient();
  expect((await forced()).refusal).toBe('503 TREE_HEADS_REFUSED');
  const goOnFrom = (head: string) => Cli.run(['log', 'adopt', '--since', head], { DATA_DIR: restored });
  expect((await goOnFrom(lost)).code).not.toBe(0);
  expect((await forced()).status).toBe(503);
  expect(await goOnFrom(kept)).toMatchObject({ code: 0 });
  expect((await forced()).status).toBe(200);
});

test('nothing is overwritten: neither an earlier backup nor the stores of a service', async () => {
  expect(await backUp()).toMatchObject({ code: 0 });
  const manifest = readFileSync(join(backup, 'manifest.json'), 'utf8');
  expect(await backUp()).toMatchObject({ code: 64, stderr: `${backup} is not empty\n` });
  expect(readFileSync(join(backup, 'manifest.json'), 'utf8')).toBe(manifest);
  await expectRefused(dataDir, 1, 'event-log.db exists');
});

test('only the owner may read and write what is restored, whatever the modes of the files of the backup', async () => {
  expect(await backUp()).toMatchObject({ code: 0 });
  expect(modesOfStores(backup)).toEqual(['event-log.db: 600', 'read-models.db: 600']);
  await service.stop();
  for (const mode of [0o444, 0o644]) {
    for (const name of readdirSync(backup)) chmodSync(join(backup, name), mode);
    const restored = freshDataDir();
    expect(await restore(restored)).toMatchObject({ code: 0 });
    expect(modesOfStores(restored)).toEqual(['event-log.db: 600', 'read-models.db: 600']);
    service = await Standalone.startReady({ dataDir: restored });
    expect(modesOfStores(restored)).toContain('event-log.db-wal: 600');
    for (const line of modesOfStores(restored)) expect(line).toMatch(/: 600$/);
    await service.stop();
  }
});

test('what a restore that was killed has left is not mixed into the next one', async () => {
  expect(await backUp()).toMatchObject({ code: 0 });
  const before = await eventsIn(dataDir);
  const { clientId } = await portal.newClient('OAUTH2');
  await portal.rename(clientId, 'After the backup');

  // The killed restore had opened its copy of a later backup, which was written to since.
  const fresh = freshDataDir();
  for (const suffix of ['', '-wal', '-shm']) {
    copyFileSync(join(dataDir, `event-log.db${suffix}`), join(fresh, `event-log.db.restoring${suffix}`));
  }
  for (const name of ['event-log.db.restoring-journal', 'read-models.db.restoring', 'read-models.db.restoring-wal']) {
    writeFileSync(join(fresh, name), 'left over');
  }
  expect(await Cli.run(['restore', backup, '--log-only'], { DATA_DIR: fresh })).toMatchObject({ code: 0 });
  const names = readdirSync(fresh);
  const after = await eventsIn(fresh);
  expect(after.pop()).toMatchObject({ type: 'LogAdopted' });
  expect(after).toEqual(before);
  expect(names).toEqual(['event-log.db', 'master.key']);
});

test('nothing is restored beside the rollback journal of another log, which SQLite would apply', async () => {
  expect(await backUp()).toMatchObject({ code: 0 });
  const fresh = freshDataDir();
  writeFileSync(join(fresh, 'event-log.db-journal'), 'of another log');
  await expectRefused(fresh, 1, 'event-log.db-journal exists');
});

test('a directory that can’t be made is refused in words, with the name of the argument', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const refusals = await Promise.all(
    ['/proc/missing', '/proc/missing/below', file, join(file, 'below')].map(async (target) => {
      const { code, stdout, stderr } = await Cli.run(['backup', target], { DATA_DIR: dataDir });
      return [code, stdout, stderr];
    }),
  );
  expect(refusals).toEqual([
    [64, '', expect.stringMatching(/^<directory> can't be used \(\/proc\/missing\): ENOENT.+\n$/)],
    [64, '', expect.stringMatching(/^<directory> can't be used \(\/proc\/missing\/below\): ENOENT.+\n$/)],
    [64, '', `<directory> can't be used (${file}): ${file} is not a directory\n`],
    [64, '', `<directory> can't be used (${join(file, 'below')}): ${file} is not a directory\n`],
  ]);
});

test('a store that SQLite can’t use is named in our own words', async () => {
  expect(await service.stop()).toBe(0);
  const readModels = join(dataDir, 'read-models.db');
  for (const suffix of ['-wal', '-shm']) rmSync(readModels + suffix, { force: true });
  writeFileSync(readModels, 'garbage '.repeat(1_000));
  const unusable = `${readModels} can't be copied to ${join(backup, 'read-models.db')}: it is not a database`;
  expect(await backUp()).toMatchObject({ code: 1, stderr: `${unusable} (SQLITE_NOTADB)\n` });
  const other = freshDataDir();
  mkdirSync(join(other, 'event-log.db'));
  expect(await Cli.run(['log', 'adopt', '--list'], { DATA_DIR: other })).toMatchObject({
    code: 69,
    stderr: `${join(other, 'event-log.db')} can't be opened: no file can be opened there (SQLITE_CANTOPEN)\n`,
  });
});

test('a backup that fails at the last step leaves nothing, and can be tried again', async () => {
  const failed = await backUp(preloaded('unsynced-directories.js'));
  expect(failed).toMatchObject({ code: 1, stderr: 'EIO: i/o error, fsync\n' });
  expect(readdirSync(backup)).toEqual([]);
  expect(await backUp()).toMatchObject({ code: 0 });
});

test('of two backups that begin in the same directory at once, one is made and one is refused', async () => {
  expect(await backUp(preloaded('overtaken-backup.js'))).toMatchObject({
    code: 64,
    stderr: `${backup} is not empty\n`,
  });
  expect(await restore(freshDataDir())).toMatchObject({ code: 0 });
});
