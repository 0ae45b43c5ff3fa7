import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { eventually, send } from '../support/api/http.js';
import { apiKeyLogin } from '../support/api/login.js';
import { Portal, readAfter } from '../support/api/portal.js';
import { eventsIn, expectReadModelsToBeTheFold, expectSoundLog, readModelsCaughtUp } from '../support/events/audit.js';
import { testWithFileLimits } from '../support/processes/file-limits.js';
import { Standalone } from '../support/processes/standalone.js';

const disk = mkdtempSync(join(tmpdir(), 'full-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk]).status === 0;

let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  // libsql keeps files open until its statements are garbage-collected. A lazy unmount works in spite of these open
  // files.
  if (mounted) spawnSync('umount', ['--lazy', disk]);
  rmSync(disk, { recursive: true, force: true });
});

/**
 * Fills the disk. If no disk can be mounted, keeps the process's files from growing instead. Returns a function that
 * makes room again.
 */
const fill = mounted ? fillDisk : limitFiles;

function fillDisk(): () => void {
  const ballast = join(disk, 'ballast');
  expect(() => {
    writeFileSync(ballast, Buffer.alloc(48 * 2 ** 20));
  }).toThrow('ENOSPC');
  return () => {
    rmSync(ballast);
  };
}

function limitFiles({ pid }: Standalone): () => void {
  const limit = (bytes: number | 'unlimited') => {
    const { status } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
    expect(status).toBe(0);
  };
  limit(statSync(join(disk, 'event-log.db-wal')).size + 100_000);
  return () => {
    limit('unlimited');
  };
}

/** Expects that the process soon reports that its log can't be written. */
async function expectUnwritable({ url }: Standalone, reason: string): Promise<void> {
  const { text } = await eventually(
    () => send('GET', url, '/health/ready'),
    ({ status }) => status === 503,
  );
  const { 'event log': shown } = (JSON.parse(text) as { reasons: Record<string, string> }).reasons;
  expect(shown).toContain(reason);
  expect(await metric({ url }, 'readiness_check_failing{check="event log",result="down"}')).toBe('1');
}

async function metric({ url }: { readonly url: string }, name: string): Promise<string | undefined> {
  const { text } = await send('GET', url, '/metrics');
  return text
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1);
}

(mounted ? test : testWithFileLimits)(
  `on a full ${mounted ? 'tmpfs' : 'disk (files that may not grow)'} commands are refused with 503, nothing is lost, ` +
    'and all is well when space returns',
  async () => {
    const running = (standalone = await Standalone.startReady({ dataDir: disk, env: { LOG_LEVEL: 'info' } }));
    const portal = Portal.of(running);
    const client = await portal.newClient('API_KEY');
    await apiKeyLogin(running.url, client.secret);
    const release = fill(running);

    const acknowledged = [client.revision];
    let refused = 0;
    for (let number = 0; refused < 5; number++) {
      const answer = await portal.rename(client.clientId, `Name ${number} ${'long '.repeat(15)}`);
      if (answer.status === 200) acknowledged.push(answer.body.client.revision);
      else {
        expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 LOG_UNAVAILABLE', '1']);
        refused++;
      }
      expect(number).toBeLessThan(20_000);
    }
    expect((await apiKeyLogin(running.url, client.secret)).status).toBe(200);
    await expectUnwritable(running, mounted ? "can't be written: its disk is full" : "can't be written");

    release();
    await running.ready();
    const recovered = await eventually(
      () => portal.rename(client.clientId, 'There is space again'),
      ({ status }) => status === 200,
    );
    const seen = await eventually(
      () => portal.get(client.clientId, readAfter(recovered)),
      ({ status }) => status === 200,
    );
    expect(seen.body).toEqual(recovered.body.client);

    const history = await portal.wholeHistory(client.clientId, readAfter(recovered));
    expect(history.map(({ revision }) => revision)).toEqual(expect.arrayContaining(acknowledged));
    // Both outages, of the disk and of the lock, are told once each.
    await running.printed('the event log can be used again');
    const locking = new Database(join(disk, 'event-log.db'));
    locking.exec('BEGIN IMMEDIATE');
    await expectUnwritable(running, "can't be written: another process has locked it, or its disk does not answer");
    locking.exec('ROLLBACK');
    locking.close();
    await running.ready();
    expect(running.output().match(/"level":"warn".*/g)).toEqual([
      expect.stringMatching(/The event log can't be written.*"msg":"the event log can’t be used"/),
      expect.stringMatching(/another process has locked it.*"msg":"the event log can’t be used"/),
    ]);
    expect(await metric(running, 'readiness_check_failing{check="event log",result="down"}')).toBe('0');
    expect(await running.stop()).toBe(0);

    // Read models that are of no use are built again.
    for (const suffix of ['-wal', '-shm']) rmSync(join(disk, `read-models.db${suffix}`), { force: true });
    writeFileSync(join(disk, 'read-models.db'), 'garbage '.repeat(1_000));
    // The login's usage event was appended only when the service stopped. The projector had stopped before, so we start
    // the service again to project the event.
    standalone = await Standalone.startReady({ dataDir: disk });
    await readModelsCaughtUp(disk);
    await standalone.printed(/read-models\.db is not a database\. It was moved to /);
    expect(await standalone.stop()).toBe(0);
    const events = await eventsIn(disk);
    await expectSoundLog(events);
    await expectReadModelsToBeTheFold(disk, events);
  },
);
