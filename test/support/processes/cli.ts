import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Environment } from './program.js';

const PROGRAM = join(__dirname, '../../../dist/apps/cli/src/main.js');

export interface CliResult {
  /** The exit code, or `null` if a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run of the command-line program `consumer-clients`. */
export class Cli {
  private constructor(
    private readonly child: ChildProcess,
    readonly result: Promise<CliResult>,
  ) {}

  static start(args: readonly string[], env: Environment = {}): Cli {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const result = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    return new Cli(child, result);
  }

  /** Runs the program. Resolves when the program has ended. */
  static run(args: readonly string[], env?: Environment): Promise<CliResult> {
    return Cli.start(args, env).result;
  }

  /** Ends the program: with SIGKILL at once, with SIGINT as Ctrl-C does. Resolves when the program has ended. */
  async end(signal: 'SIGKILL' | 'SIGINT'): Promise<CliResult> {
    this.child.kill(signal);
    return this.result;
  }
}
