// @ts-check
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../dist/apps/cli/src/main.js', import.meta.url));

/**
 * Tells how an auditor proves the history of one client of the day, and how a changed history is found out. Prints the
 * commands and what they print. Throws an `AssertionError` if one of them ends otherwise than told.
 * @param {{ url: string, token: string }} service `token` has the scopes `audit:read` and `workspaces:any`
 * @param {import('./steps.mjs').Client} client one that was revoked
 */
export async function tellEvidence({ url, token }, { view: { clientId }, name, workspaceId }) {
  const directory = mkdtempSync(join(tmpdir(), 'evidence-'));
  try {
    const bundle = join(directory, 'evidence.json');
    console.log(
      `\nIn the evening an auditor asks for proof of what happened to “${name}”, which was revoked at 14:00:\n`,
    );
    const source = ['--url', url, '--workspace', workspaceId];
    await run(['evidence', clientId, '--file', bundle, ...source], { AUDIT_TOKEN: token });

    const policy = await fetch(`${url}/v1/log/policy`, { headers: { authorization: `Bearer ${token}` } });
    const keys = (await policy.text()).match(/\S+\+[0-9a-f]{8}\+\S+/g) ?? [];
    const known = [...keys.flatMap((key) => ['--key', key]), '--client', clientId];
    console.log(
      '\nThe verifier needs no service and no network, but the keys of the log, from a source that it trusts:\n',
    );
    await run(['verify', bundle, ...known]);

    const changed = join(directory, 'changed.json');
    const { format, files } = JSON.parse(readFileSync(bundle, 'utf8'));
    const [last = ''] = Object.keys(files)
      .filter((file) => /^events\/\d+\.json$/.test(file))
      .sort()
      .reverse();
    const event = JSON.parse(files[last]);
    const whole = files[last];
    files[last] = whole.replace(JSON.stringify(event.data.reason), JSON.stringify('A mistake of the customer'));
    files['MANIFEST'] = files['MANIFEST'].replace(sha256(whole), sha256(files[last]));
    writeFileSync(changed, JSON.stringify({ format, files }));
    console.log('\nSomebody gives the revocation another reason, and hands the evidence on:\n');
    await run(['verify', changed, ...known], {}, 1);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** @param {string} content */
const sha256 = (content) => createHash('sha256').update(content).digest('hex');

/**
 * Runs the command line, and prints the command and its output, which is indented.
 * @param {string[]} args @param {Record<string, string>} [env] @param {number} [expected] the exit code
 */
async function run(args, env = {}, expected = 0) {
  const shown = (/** @type {string} */ line) => line.replaceAll(new RegExp(`${tmpdir()}/evidence-[^/]+/`, 'g'), '');
  console.log(`  $ consumer-clients ${shown(args.join(' '))}`);
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  const lines = `${stdout}${stderr}`.trimEnd().split('\n');
  console.log(lines.map((line) => `  ${shown(line)}`).join('\n'));
  assert.equal(code, expected, `consumer-clients ${args[0]} ended with ${code}`);
}
