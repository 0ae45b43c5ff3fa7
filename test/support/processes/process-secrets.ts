import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from './program.js';

let folder: string | undefined;

/** Makes the secrets that all processes of a deployment share: a master key, and a file with the gateways' secret. */
export function processSecrets(): Environment {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'process-secrets-'));
    process.once('exit', () => {
      rmSync(made, { recursive: true });
    });
    writeFileSync(join(made, 'gateway.secret'), randomBytes(32).toString('base64url'), { mode: 0o600 });
    folder = made;
  }
  return { MASTER_KEY: randomBytes(32).toString('base64'), GATEWAY_SECRET_FILE: join(folder, 'gateway.secret') };
}
