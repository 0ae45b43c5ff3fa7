import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import Database from 'libsql';
import { type ReadStore, ReadStoreUnavailable } from '#read-models';
import { openSqliteReadStore, pageStatement, walkStatement } from '#read-models/sqlite';
import { testWithFileLimits } from '../support/processes/file-limits.js';
import { lists, notes, readStoreContract, type TestReadStore } from './read-store.js';

const BUILD = 'notes_v1_1';

async function createStore(): Promise<TestReadStore & { file: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'read-store-'));
  const file = join(directory, 'read-models.db');
  return {
    file,
    open: () => openSqliteReadStore({ file }),
    snapshot: () => {
      const copy = join(directory, 'copy.db');
      const connection = new Database(file);
      connection.exec(`VACUUM INTO '${copy}'`);
      connection.close();
      return Promise.resolve(async () => {
        const restored = join(directory, 'restored.db');
        await copyFile(copy, restored);
        await rm(`${file}-wal`, { force: true });
        await rm(`${file}-shm`, { force: true });
        await rename(restored, file);
      });
    },
    remove: () => rm(directory, { recursive: true }),
  };
}

readStoreContract('SQLite', { create: createStore });

describe('the SQLite read store', () => {
  let server: TestReadStore & { file: string };
  let store: ReadStore;

  beforeEach(async () => {
    server = await createStore();
    store = await openSqliteReadStore({ file: server.file, busyTimeoutMs: 300 });
    await store.prepare(BUILD, notes);
  });

  afterEach(async () => {
    await store.close();
    await server.remove();
  });

  const write = (id: string, doc: unknown = {}) =>
    store.write(BUILD, [{ id, expected: undefined, position: '0001', revision: 0n, doc }]);

  it('walks an index for every list, from the cursor or from the first document that has the field', () => {
    const connection = new Database(server.file);
    for (const list of lists()) {
      const { sql, params } = pageStatement(BUILD, list);
      const plan = connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...params) as { detail: string }[];
      const steps = plan.map(({ detail }) => detail).join('; ');
      if (list.inside) {
        // The list's index is walked, and only the page itself is sorted again.
        expect(steps).toMatch(/^(CO-ROUTINE|MATERIALIZE) key; SEARCH key USING (COVERING )?INDEX/);
      } else {
        expect(steps).toMatch(/^SEARCH key USING/);
        expect(steps).not.toMatch(/SCAN|TEMP B-TREE/);
      }
      expect(steps).toMatch(list.after ? /\(doc\.\w+,id\)[<>]\(\?,\?\)/ : /doc\.\w+>\?/);
    }
    connection.close();
  });

  it('ends each piece of a walk at its last document, in both directions', () => {
    const connection = new Database(server.file);
    for (const list of lists().filter(({ inside, after }) => inside && after)) {
      const { sql, params } = walkStatement(BUILD, list, { value: 'b', id: 'n2' });
      const plan = connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...params) as { detail: string }[];
      const walk = plan.find(({ detail }) => detail.startsWith('SEARCH key'))?.detail;
      expect(walk).toMatch(/\(doc\.\w+,id\)>\(\?,\?\) AND \(doc\.\w+,id\)<\(\?,\?\)/);
    }
    connection.close();
  });

  it('refuses a list that no index serves', async () => {
    const sort = { field: 'title', direction: 'asc' } as const;
    await expect(store.find(BUILD, { equals: { status: 'ACTIVE' }, sort, limit: 1 })).rejects.toThrow(
      'lacks the index',
    );
    const prefix = { field: 'rank', value: 'a' };
    await expect(store.find(BUILD, { prefix, sort, limit: 1 })).rejects.toThrow(TypeError);
    await store.ping();
  });

  it.each(['x"; DROP TABLE builds; --_v1_1', 'sqlite_v1', '_v1_1', 'notes_v1_1.tags'])(
    'takes no name of a build like %j',
    async (name) => {
      const build = name as typeof BUILD;
      await expect(store.prepare(build, notes)).rejects.toThrow(TypeError);
      await expect(store.read(build, ['n1'])).rejects.toThrow(TypeError);
    },
  );

  it('adds the indexes of a later schema, filled with the stored documents', async () => {
    const narrow = { name: 'later', version: 1, indexes: [['title']] };
    await store.prepare('later_v1_1', narrow);
    const doc = { workspace: 'w', title: 't', tags: ['x'] };
    await store.write('later_v1_1', [{ id: 'n1', expected: undefined, position: '0001', revision: 0n, doc }]);
    await store.prepare('later_v1_1', { ...notes, name: 'later' });
    const sort = { field: 'title', direction: 'asc' } as const;
    const found = await store.find('later_v1_1', {
      equals: { workspace: 'w' },
      contains: { field: 'tags', value: 'x' },
      sort,
      limit: 5,
    });
    expect(found.map(({ id }) => id)).toEqual(['n1']);
  });

  it('counts many documents piece by piece, so that other work gets its turns', async () => {
    const documents = Array.from({ length: 25_000 }, (_, n) => ({
      id: `n${n}`,
      expected: undefined,
      position: '0001',
    }));
    await store.write(
      BUILD,
      documents.map((document) => ({ ...document, revision: 0n, doc: {} })),
    );
    const done = new AbortController();
    const counted = store.count(BUILD).finally(() => {
      done.abort();
    });
    let turns = 0;
    for (; !done.signal.aborted; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(await counted).toBe(25_000);
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  it('says that a build is missing rather than empty', async () => {
    for (const call of [() => store.count('notes_v1_9'), () => store.read('notes_v1_9', ['n1'])]) {
      await expect(call()).rejects.toBeInstanceOf(ReadStoreUnavailable);
    }
    await expect(store.write('notes_v1_9', [])).resolves.toEqual([]);
    const lost = { id: 'n1', expected: undefined, position: '0001', revision: 0n, doc: {} };
    const outcomes = await Promise.allSettled([write('a'), store.write('notes_v1_9', [lost]), write('b')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await store.count(BUILD)).toBe(2);
  });

  it('waits for another process’s lock without blocking this thread, gives up in time, and works again afterwards', async () => {
    await write('before');
    const other = new Database(server.file);
    other.exec('BEGIN IMMEDIATE');
    let settled = false;
    const refused = write('refused').finally(() => (settled = true));
    const outcome = expect(refused).rejects.toBeInstanceOf(ReadStoreUnavailable);
    expect(await store.count(BUILD)).toBe(1);
    expect(settled).toBe(false);
    await outcome;
    other.exec('COMMIT');
    other.close();
    expect(await write('after')).toEqual([]);
    expect(await store.count(BUILD)).toBe(2);
  });

  it('keeps no documents of loads that failed while another process locked the file', async () => {
    // The thread ends if it needs more memory than this.
    const writer = new Worker(join(dirname(require.resolve('#read-models/sqlite')), 'writer.js'), {
      workerData: { file: server.file, busyTimeoutMs: 1 },
      resourceLimits: { maxOldGenerationSizeMb: 64 },
    });
    const rows = [['n1', undefined, '0001', 0n, JSON.stringify('x'.repeat(8 * 1024 * 1024))]];
    const next = { logId: 'log', position: '0001', eventId: 'e1' };
    const load = async (order: number) => {
      const answered = once(writer, 'message');
      writer.postMessage({ load: order, rows });
      const request = { type: 'load', load: order, documents: 1, build: BUILD, expected: undefined, next };
      writer.postMessage({ order, request });
      const [answer] = (await answered) as [unknown];
      return answer;
    };
    const other = new Database(server.file);
    other.exec('BEGIN IMMEDIATE');
    for (let order = 0; order < 20; order++) {
      expect(await load(order)).toHaveProperty('error', expect.stringContaining('locked'));
    }
    other.exec('COMMIT');
    other.close();
    expect(await load(20)).toEqual({ order: 20, misses: [] });
    await writer.terminate();
  });

  it('opens a new file if the old one was removed', async () => {
    await write('n1');
    for (const suffix of ['', '-wal', '-shm']) await rm(`${server.file}${suffix}`, { force: true });
    expect(await store.builds('notes', 1)).toEqual([]);
    await store.prepare(BUILD, notes);
    expect(await store.count(BUILD)).toBe(0);
    await write('n2');
    expect((await store.scan(BUILD, undefined, 5)).map(({ id }) => id)).toEqual(['n2']);
  });

  it('does not touch a file that is not its own, or that has a newer layout', async () => {
    const foreign = join(server.file, '..', 'foreign.db');
    const connection = new Database(foreign);
    connection.exec('CREATE TABLE theirs (a)');
    connection.close();
    const before = await readFile(foreign);
    await expect(openSqliteReadStore({ file: foreign })).rejects.toThrow('not a read store');
    expect((await readFile(foreign)).equals(before)).toBe(true);

    await writeFile(foreign, 'no database at all, but longer than the header of one'.repeat(20));
    await expect(openSqliteReadStore({ file: foreign })).rejects.toBeInstanceOf(ReadStoreUnavailable);

    const newer = new Database(server.file);
    newer.exec('PRAGMA user_version = 2');
    newer.close();
    await expect(openSqliteReadStore({ file: server.file })).rejects.toThrow('layout 2');
  });

  const damages: Record<string, (file: string) => Promise<void>> = {
    'is not a database': async (file) => {
      await rm(`${file}-wal`, { force: true });
      await writeFile(file, 'Dear auditor, '.repeat(1_000));
      // A journal that was used up, as another program may leave it.
      await writeFile(`${file}-journal`, Buffer.alloc(512));
    },
    'belongs to another program': (file) => {
      const theirs = new Database(file);
      theirs.exec('CREATE TABLE theirs (a); PRAGMA application_id = 7');
      theirs.close();
      return Promise.resolve();
    },
    'is damaged': async (file) => {
      const bytes = await readFile(file);
      await writeFile(file, bytes.subarray(0, bytes.length - 5_000));
    },
    'is damaged.': async (file) => {
      const bytes = await readFile(file);
      await writeFile(file, bytes.fill('garbage ', 4_096, 4_096 * 4));
    },
  };
  it.each(Object.entries(damages))('that %s is moved aside and made again, if asked for', async (what, damage) => {
    await write('n1');
    await store.close();
    await damage(server.file);
    const damaged = await readFile(server.file);
    const told: string[] = [];
    const onMovedAside = (sentence: string) => told.push(sentence);
    store = await openSqliteReadStore({ file: server.file, onMovedAside });
    await store.prepare(BUILD, notes);
    expect(await store.count(BUILD)).toBe(0);
    await write('n2');
    expect(told).toEqual([expect.stringContaining(`${server.file} ${what.replace('.', '')}. It was moved to `)]);
    const [, aside = ''] = / moved to (\S+),/.exec(told[0] ?? '') ?? [];
    expect(aside).toMatch(/read-models\.db\.unusable-20\d\d-\d\d-\d\dT/);
    expect((await readFile(aside)).equals(damaged)).toBe(true);
    expect(existsSync(`${server.file}-journal`)).toBe(false);
    await (await openSqliteReadStore({ file: server.file, onMovedAside })).close();
    expect(told).toHaveLength(1);
  });

  it('reports a missing directory', async () => {
    await expect(openSqliteReadStore({ file: join(server.file, '..', 'none', 'x.db') })).rejects.toBeInstanceOf(
      ReadStoreUnavailable,
    );
  });

  it('can be created by several processes at once', async () => {
    const file = join(server.file, '..', 'shared.db');
    const processes = Array.from({ length: 3 }, () =>
      inProcess(
        file,
        `for (let n = 1; n <= 5; n++) await store.prepare('notes_v1_' + n, notes);
         for (let n = 2; n <= 5; n++) await store.drop('notes_v1_' + n);
         await store.close();`,
      ),
    );
    expect(await Promise.all(processes.map(finished))).toEqual([0, 0, 0]);
    const shared = await openSqliteReadStore({ file });
    expect(await shared.count(BUILD)).toBe(0);
    await shared.close();
  });

  it('waits if another process is writing to the file while it creates the store', async () => {
    const file = join(server.file, '..', 'begun.db');
    const other = new Database(file);
    other.exec('BEGIN IMMEDIATE');
    const patient = openSqliteReadStore({ file });
    await expect(openSqliteReadStore({ file, busyTimeoutMs: 100 })).rejects.toBeInstanceOf(ReadStoreUnavailable);
    other.exec('COMMIT');
    other.close();
    await (await patient).close();
  });

  it('keeps acknowledged writes when its process is killed', async () => {
    const killed = inProcess(
      server.file,
      `for (let n = 0; ; n++) {
         await store.write('notes_v1_1', [{ id: 'n' + n, expected: undefined, position: '0001', revision: 0n, doc: {} }]);
         console.log('n' + n);
       }`,
    );
    let output = '';
    for await (const chunk of killed.stdout ?? []) {
      output += String(chunk);
      if (output.includes('n200\n')) killed.kill('SIGKILL');
    }
    const acknowledged = output.split('\n').slice(0, -1);
    expect(acknowledged.length).toBeGreaterThan(200);
    expect(await store.read(BUILD, acknowledged)).toHaveLength(acknowledged.length);
  });

  testWithFileLimits(
    'answers ReadStoreUnavailable while files can’t grow, loses nothing, and goes on when they can',
    async () => {
      const full = inProcess(
        server.file,
        `const { execFileSync } = require('node:child_process');
       const limit = (size) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + size + ':unlimited']);
       const write = (id) => store.write('notes_v1_1', [
         { id, expected: undefined, position: '0001', revision: 0n, doc: { text: 'x'.repeat(50_000) } }]);
       limit(2_000_000);
       let written = 0;
       const refusal = await (async () => { for (;; written++) await write('n' + written); })().catch((error) => error);
       const during = await store.count('notes_v1_1');
       limit('unlimited');
       await write('last');
       console.log(JSON.stringify({ refusal: refusal.name, written, during, after: await store.count('notes_v1_1') }));
       await store.close();`,
      );
      let output = '';
      full.stdout?.on('data', (chunk) => (output += String(chunk)));
      expect(await finished(full)).toBe(0);
      const { refusal, written, during, after } = JSON.parse(output) as Record<string, unknown>;
      expect(refusal).toBe('ReadStoreUnavailable');
      expect(written).toBeGreaterThan(5);
      expect(during).toBe(written);
      expect(after).toBe(Number(written) + 1);
    },
  );
});

/** Runs `body` in a new process. `body` can use `store`, which is open on the file, and `notes`. */
function inProcess(file: string, body: string): ChildProcess {
  const program = `
    const { openSqliteReadStore } = require('#read-models/sqlite');
    const notes = ${JSON.stringify(notes)};
    (async () => { const store = await openSqliteReadStore({ file: ${JSON.stringify(file)} }); ${body} })();`;
  return spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
}

const finished = async (process: ChildProcess): Promise<number | null> => {
  const [code] = (await once(process, 'close')) as [number | null];
  return code;
};
