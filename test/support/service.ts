import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Answer, eventually, send } from './http.js';

export type ServiceName = 'management' | 'auth' | 'projector';
export type Environment = Readonly<Record<string, string>>;

export interface Readiness {
  readonly status: string;
  readonly checks: Readonly<Record<string, 'up' | 'down'>>;
}

const ROOT = join(__dirname, '../..');

/** `release`: the folder of the `dist` that is run. */
const spawned = (name: ServiceName, env: Environment, release = ROOT): ChildProcess =>
  spawn(process.execPath, [join(release, `dist/apps/${name}/src/main.js`)], {
    env: { PATH: process.env.PATH, PORT: '0', LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** A real management, auth or projector process on a free port. */
export class Service {
  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<number | null>,
    readonly url: string,
    /** Everything that the process printed so far. */
    readonly output: () => string,
  ) {}

  /**
   * Resolves when the process listens, whether or not its stores are there; rejects with its output when it ends.
   * `release`: the folder of another `dist` than this one's.
   */
  static async start(name: ServiceName, env: Environment, release?: string): Promise<Service> {
    const child = spawned(name, env, release);
    const exited = once(child, 'close').then(([code]) => code as number | null);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const url = new Promise<string>((resolve) => {
      if (child.stderr === null) return;
      createInterface({ input: child.stderr }).on('line', (line) => {
        output += `${line}\n`;
        const [, found] = new RegExp(`^Consumer Clients, ${name}: (http:\\S+)$`).exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    });
    const first = await Promise.race([url, exited]);
    if (typeof first !== 'string') throw new Error(`${name} ended with ${first}:\n${output}`);
    return new Service(child, exited, first, () => output);
  }

  /** As `start`, and it is ready. */
  static async startReady(name: ServiceName, env: Environment): Promise<Service> {
    const service = await Service.start(name, env);
    await service.ready();
    return service;
  }

  /** Runs a process that must end by itself; answers how it ended and what it printed. */
  static async runToEnd(name: ServiceName, env: Environment): Promise<{ code: number | null; output: string }> {
    const child = spawned(name, env);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += String(chunk)));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  }

  readiness(): Promise<Answer<Readiness>> {
    return send<Readiness>('GET', this.url, '/health/ready');
  }

  /** Waits until it is ready. */
  async ready(seconds?: number): Promise<void> {
    await eventually(
      () => this.readiness(),
      ({ status }) => status === 200,
      seconds,
    );
  }

  /** A figure of `/metrics`, with its labels as they are written there; `undefined` where it is not measured. */
  async metric(name: string): Promise<number | undefined> {
    const { text } = await send('GET', this.url, '/metrics');
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** As an operator stops it; answers the exit code. Nothing happens to one that has ended. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}
