import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/api/http.js';
import { Portal } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const ONE_AT_A_TIME = 10;
const AT_ONCE = 32;

const folder = mkdtempSync(join(tmpdir(), 'durability-'));
const trace = join(folder, 'trace');
let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  rmSync(folder, { recursive: true });
});

const canTrace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace && !process.env.CI) {
  console.warn('SKIPPED: that commands are synced before they are answered. Install strace, and allow ptrace.');
}

(canTrace || process.env.CI ? it : it.skip)(
  'between the write of a command to the log and its answer lies a sync of the log, on another thread',
  async () => {
    expect({ canTrace }).toEqual({ canTrace: true });
    // `-s 5000` makes strace show whole pages of the log and whole HTTP responses. The test finds each command in the
    // trace by the name that the command sets.
    const options = ['-f', '-y', '-s', '5000', '-e', 'trace=pwrite64,write,writev,fsync,fdatasync', '-o', trace];
    const running = (standalone = await Standalone.startReady({
      dataDir: folder,
      under: ['strace', '-D', ...options],
    }));
    const portal = Portal.of(running);
    const clients = [];
    for (let count = 0; count < AT_ONCE; count++) clients.push(await portal.newClient());
    const names: string[] = [];
    const rename = async (clientId: string) => {
      const name = `Traced command ${names.length} of them`;
      names.push(name);
      expect((await portal.rename(clientId, name)).status).toBe(200);
    };
    for (const { clientId } of clients.slice(0, ONE_AT_A_TIME)) await rename(clientId);
    await Promise.all(clients.map(({ clientId }) => rename(clientId)));
    expect(await running.stop()).toBe(0);
    const readTrace = () => readFileSync(trace, 'utf8');
    const isWhole = new RegExp(`^${running.pid} +\\+\\+\\+ exited`, 'm');
    await eventually(
      () => Promise.resolve(isWhole.test(readTrace())),
      (whole) => whole,
    );

    const steps = stepsOf(readTrace());
    for (const name of names) {
      const written = steps.findIndex(({ kind, bytes }) => kind === 'write' && bytes.includes(name));
      const answered = steps.findIndex(({ kind, bytes }) => kind === 'answer' && bytes.includes(name));
      expect({ name, isTraced: written >= 0 && answered > written }).toEqual({ name, isTraced: true });
      const [write, answer] = [steps[written], steps[answered]];
      const sync = steps
        .slice(written, answered)
        .find(({ kind, thread }) => kind === 'sync' && thread === write?.thread);
      expect({ name, isSynced: sync !== undefined }).toEqual({ name, isSynced: true });
      expect(sync?.thread).not.toBe(answer?.thread);
    }
  },
);

interface Step {
  readonly thread: string;
  readonly kind: 'write' | 'sync' | 'answer';
  readonly bytes: string;
}

/**
 * Returns the steps in a trace, ordered by time. The time of a write to the log, or of an HTTP response, is when its
 * system call begins. The time of a sync is when its system call ends.
 */
function stepsOf(traced: string): Step[] {
  const syncing = new Set<string>();
  return traced.split('\n').flatMap((line): Step[] => {
    const [, thread = '', call = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (/^pwrite64\(\d+<[^>]*event-log\.db-wal>/.test(call)) return [{ thread, kind: 'write', bytes: call }];
    if (/^writev?\(\d+<socket:.*HTTP\/1\.1 /.test(call)) return [{ thread, kind: 'answer', bytes: call }];
    if (/^f(data)?sync\(\d+<[^>]*event-log\.db-wal>/.test(call)) {
      if (!call.includes('<unfinished')) return [{ thread, kind: 'sync', bytes: '' }];
      syncing.add(thread);
    }
    if (/^<\.\.\. f(data)?sync resumed>/.test(call) && syncing.delete(thread)) {
      return [{ thread, kind: 'sync', bytes: '' }];
    }
    return [];
  });
}
