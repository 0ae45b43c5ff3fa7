import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually, send } from './http.js';

const PROGRAM = join(__dirname, '../../dist/apps/standalone/src/main.js');

export interface StandaloneOptions {
  /** Kept by the caller; absent: a new one that `stop()` removes. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command and its arguments that run the process in its own place (`strace -D …`). */
  readonly under?: readonly string[];
}

/** A real standalone process on a free port, with embedded stores in a directory of its own. */
export class Standalone {
  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<number | null>,
    readonly dataDir: string,
    private readonly ownsDataDir: boolean,
    readonly url: string,
    /** Everything that the process printed so far. */
    readonly output: () => string,
  ) {}

  /** Resolves when the process has printed its URL; rejects with its output when it ends before. */
  static async start({ dataDir, env = {}, under = [] }: StandaloneOptions = {}): Promise<Standalone> {
    const directory = dataDir ?? mkdtempSync(join(tmpdir(), 'consumer-clients-'));
    const [command, ...args] = [...under, process.execPath, PROGRAM];
    const child = spawn(command, args, {
      env: { PATH: process.env.PATH, PORT: '0', DATA_DIR: directory, LOG_LEVEL: 'warn', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = once(child, 'exit').then(([code]) => code as number | null);
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const url = new Promise<string>((resolve) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        output += `${line}\n`;
        const [, found] = /^\s*API\s+(http:\S+)\/v1/.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
    });
    const first = await Promise.race([url, exited]);
    if (typeof first !== 'string') throw new Error(`The standalone ended with ${first}:\n${output}`);
    return new Standalone(child, exited, directory, dataDir === undefined, first, () => output);
  }

  /** As `start`, and all its read models are served. */
  static async startReady(options: StandaloneOptions = {}): Promise<Standalone> {
    const standalone = await Standalone.start(options);
    const { url } = standalone;
    await eventually(
      () => send('GET', url, '/health/ready'),
      ({ status }) => status === 200,
    );
    return standalone;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('The standalone was not started');
    return this.child.pid;
  }

  get adminToken(): string {
    return readFileSync(join(this.dataDir, 'admin.token'), 'utf8').trim();
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** As an operator stops it; answers the exit code, and removes the data that is its own. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    const code = await this.exited;
    if (this.ownsDataDir) rmSync(this.dataDir, { recursive: true, force: true });
    return code;
  }
}
