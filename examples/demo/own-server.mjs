// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../dist/apps/standalone/src/main.js', import.meta.url));
const ISSUER = 'https://api.marketplace.example';

/**
 * Starts the standalone on a free port, with its data in a directory that `stop()` removes. Rejects when it ends before
 * it is ready; `stop()` rejects when it did not end in order.
 * @returns {Promise<{ url: string, issuer: string, token: string, stop: () => Promise<void> }>}
 */
export async function startServer() {
  const dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-demo-'));
  const child = spawn(process.execPath, [PROGRAM], {
    env: { PATH: process.env['PATH'], PORT: '0', PUBLIC_URL: ISSUER, DATA_DIR: dataDir, LOG_LEVEL: 'error' },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await exited;
    rmSync(dataDir, { recursive: true, force: true });
    if (code !== 0) throw new Error(`The server ended with ${code}`);
  };
  /** @type {Promise<string>} */
  const ready = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [, url] = /^ {2}API +(\S+)\/v1$/.exec(line) ?? [];
      if (url) resolve(url);
    });
  });
  const url = await Promise.race([
    ready,
    exited.then(([code]) => Promise.reject(new Error(`The server ended: ${code}`))),
  ]);
  return { url, issuer: ISSUER, token: readFileSync(join(dataDir, 'admin.token'), 'utf8').trim(), stop };
}
