import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually } from '../api/http.js';
import { freePort } from './free-ports.js';
import { isListening } from './listening.js';

export const isPhpInstalled = (): boolean => spawnSync('php', ['--version']).status === 0;

/** An API provider in PHP. It answers with `$_SERVER`'s `HTTP_…` variables as JSON. */
export class PhpProvider {
  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(): Promise<PhpProvider> {
    const port = await freePort();
    const script = join(__dirname, 'php-provider.php');
    const child = spawn('php', ['-n', '-S', `127.0.0.1:${port}`, script], { stdio: ['ignore', 'ignore', 'pipe'] });
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`PHP ended:\n${output}`);
        return isListening(port);
      },
      (isUp) => isUp,
    );
    return new PhpProvider(child, port);
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }
}
