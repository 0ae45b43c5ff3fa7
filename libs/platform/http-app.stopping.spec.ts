import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

/** A process with a quick and a slow route. The program prints a line when Nest closes its module. */
const PROGRAM = `
  const { Module } = require('@nestjs/common');
  const { configurationFrom, createHttpApplication, createLogger } = require('#platform');
  class Shop { onModuleDestroy() { console.log('closed'); } }
  Module({})(Shop);
  void (async () => {
    const configuration = configurationFrom({ ...process.env, PORT: '0' });
    const app = await createHttpApplication(Shop, configuration, createLogger('silent'));
    const fastify = app.nest.getHttpAdapter().getInstance();
    fastify.get('/quick', async () => 'done');
    fastify.get('/slow', async () => {
      console.log('started');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      console.log('finished');
      return 'done';
    });
    app.closeOnSignals();
    console.log(await app.listen());
  })();
`;

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly nextLine: () => Promise<string>;
  /** Resolves to the exit code and the signal that has killed the process. */
  readonly exited: Promise<unknown[]>;
}

let running: Running;

async function start(graceMs: string): Promise<void> {
  const env = { ...process.env, SHUTDOWN_GRACE_MS: graceMs };
  const child = spawn(process.execPath, ['-e', PROGRAM], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const output = createInterface(child.stdout)[Symbol.asyncIterator]();
  const nextLine = async () => String((await output.next()).value);
  running = { child, url: await nextLine(), nextLine, exited };
}
afterEach(async () => {
  running.child.kill('SIGKILL');
  await running.exited;
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('lets an accepted request finish, closes the modules after it, and ends the process with 0', async () => {
    await start('0');
    const { child, url, nextLine, exited } = running;
    const answer = fetch(`${url}/slow`);
    expect(await nextLine()).toBe('started');
    child.kill(signal);
    await refusesConnections(url);
    child.stdin?.write('go on\n');
    expect(await (await answer).text()).toBe('done');
    expect(await nextLine()).toBe('finished');
    expect(await nextLine()).toBe('closed');
    expect(await exited).toEqual([0, null]);
  });
});

it.each([
  ['SIGTERM', 'SIGTERM', 143],
  ['SIGINT', 'SIGTERM', 143],
  ['SIGTERM', 'SIGINT', 130],
] as const)('%s and then %s ends the process at once, with %i', async (first, second, code) => {
  await start('60000');
  const { child, url, exited } = running;
  child.kill(first);
  await turnsRed(url);
  const signalledAt = performance.now();
  // The same signal within 100 ms counts as one.
  while (performance.now() - signalledAt < 150) await turnsRed(url);
  child.kill(second);
  expect(await exited).toEqual([code, null]);
});

it('a signal that is sent twice at the same time, as by Ctrl-C under npm, counts once', async () => {
  await start('0');
  const { child, url, nextLine, exited } = running;
  const answer = fetch(`${url}/slow`);
  expect(await nextLine()).toBe('started');
  child.kill('SIGINT');
  child.kill('SIGINT');
  await refusesConnections(url);
  child.stdin?.write('go on\n');
  expect(await (await answer).text()).toBe('done');
  expect(await exited).toEqual([0, null]);
});

it('after SIGTERM it is not ready, listens for SHUTDOWN_GRACE_MS, and neither resets nor loses a request', async () => {
  const graceMs = 2_000;
  await start(String(graceMs));
  const { child, url, exited } = running;
  const idle = await Promise.all(Array.from({ length: 20 }, () => Caller.connected(url)));
  for (const caller of idle) expect(await caller.request()).toBe('answered');
  const silent = connect(Number(new URL(url).port), '127.0.0.1');
  const load = new Load(url);
  await load.answers(500);
  child.kill('SIGTERM');
  const signalledAt = performance.now();
  await turnsRed(url);
  const before = load.answered;
  // These connections have been idle since before the signal.
  const late = await Promise.all(idle.map((caller) => caller.request()));
  expect(new Set(late)).toEqual(new Set(['answered']));
  await load.end();
  const listenedForMs = performance.now() - signalledAt;
  expect(load.lost).toEqual([]);
  expect(load.answered - before).toBeGreaterThan(50);
  expect(listenedForMs).toBeGreaterThan(graceMs - 5);
  expect(await exited).toEqual([0, null]);
  silent.destroy();
});

const refusesConnections = async (url: string) => {
  while (
    await fetch(`${url}/health/live`, { headers: { connection: 'close' } }).then(
      () => true,
      () => false,
    )
  );
};

const turnsRed = async (url: string) => {
  for (;;) {
    const { status, headers } = await fetch(`${url}/health/ready`);
    if (status !== 503) continue;
    expect(headers.get('connection')).toBe('close');
    return;
  }
};

type Outcome = 'answered' | 'refused' | `lost: ${string}`;

/** One connection, on which requests are sent one after the other. */
class Caller {
  private received = '';
  private error: NodeJS.ErrnoException | undefined;
  /** Called when something has arrived, or the connection has ended. */
  private wake: () => void = () => undefined;
  /** Whether the connection has ended, or the latest answer said that it will. */
  isOver = false;

  private constructor(
    private readonly socket: Socket,
    private readonly isConnected: Promise<boolean>,
  ) {
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString();
      this.wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error));
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.wake();
      });
    }
  }

  static async connected(url: string): Promise<Caller> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const isConnected = new Promise<boolean>((resolve) => {
      socket.once('connect', () => {
        resolve(true);
      });
      socket.once('close', () => {
        resolve(false);
      });
    });
    const caller = new Caller(socket, isConnected);
    await isConnected;
    return caller;
  }

  /** Sends this number of requests without waiting for their answers, and then waits for all answers. */
  async request(count = 1): Promise<Outcome> {
    if (!(await this.isConnected)) return this.error?.code === 'ECONNREFUSED' ? 'refused' : this.lost();
    this.socket.write('GET /quick HTTP/1.1\r\nHost: shop\r\n\r\n'.repeat(count));
    while (this.received.split('\r\n\r\ndone').length <= count) {
      if (this.socket.destroyed || this.socket.readableEnded) return this.lost();
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    if (/^connection: close/im.test(this.received)) this.end();
    this.received = '';
    return 'answered';
  }

  end(): void {
    this.isOver = true;
    this.socket.end();
  }

  private lost(): Outcome {
    return `lost: ${this.error?.code ?? 'closed'} after ${JSON.stringify(this.received.slice(0, 20))}`;
  }
}

/** Callers of different kinds, which send requests until connections are refused. */
class Load {
  answered = 0;
  readonly lost: Outcome[] = [];
  private readonly callers: readonly Promise<void>[];

  constructor(private readonly url: string) {
    this.callers = [
      ...Array.from({ length: 4 }, () => this.call({})),
      ...Array.from({ length: 4 }, () => this.call({ keepsAlive: true })),
      ...Array.from({ length: 4 }, (_, index) => this.call({ hesitatesMs: 5 + index })),
      ...Array.from({ length: 2 }, () => this.call({ pipelined: 3 })),
    ];
  }

  async end(): Promise<void> {
    await Promise.all(this.callers);
  }

  async answers(count: number): Promise<void> {
    while (this.answered < count) await delay(1);
  }

  private async call({ keepsAlive = false, hesitatesMs = 0, pipelined = 1 }): Promise<void> {
    for (let caller = await Caller.connected(this.url); ;) {
      if (hesitatesMs > 0) await delay(hesitatesMs);
      const outcome = await caller.request(pipelined);
      if (outcome === 'refused') return;
      if (outcome === 'answered') this.answered += 1;
      else this.lost.push(`${outcome} (${JSON.stringify({ keepsAlive, hesitatesMs, pipelined })})` as Outcome);
      if (outcome !== 'answered' || !keepsAlive) caller.end();
      if (caller.isOver) caller = await Caller.connected(this.url);
    }
  }
}
