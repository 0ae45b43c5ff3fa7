// @ts-check
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { Standalone } from '../../test/support/processes/standalone.js';
import { tellEvidence } from './evidence-story.mjs';
import { MarketplaceService } from './marketplace-service.mjs';
import { steps } from './steps.mjs';

const CONCURRENCY = 16;
const SHOWN_FAILURES = 10;
const OWN_ISSUER = 'https://api.marketplace.example';

const HELP = `Plays a marketplace's day (day.json) over HTTP and checks each response. Then proves what happened to one
client, by evidence that the command line verifies.
Exits with code 1 if a response is wrong.
  npm run demo                                    starts its own server
  npm run demo -- --url http://127.0.0.1:3000     uses a running server (or set BASE=…), and creates new workspaces
    --token-file FILE   contains a token with every scope and workspaces:any (default: data/admin.token)
    --issuer URL        is the server's PUBLIC_URL, if that differs from --url
    --help              shows this text`;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    'token-file': { type: 'string' },
    issuer: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit();
}
const url = (options.url ?? process.env['BASE'])?.replace(/\/+$/, '');
const script = JSON.parse(readFileSync(new URL('day.json', import.meta.url), 'utf8'));

const server = url === undefined ? await ownServer() : runningServer(url);
process.once('SIGINT', () => void server.stop().finally(() => process.exit(130)));
let failures;
try {
  const day = dayOf(script, url === undefined ? '' : freshSuffix());
  failures = await play(new MarketplaceService(server), day);
  const revoked = day.clients.find((client) => client.revoke);
  if (failures === 0 && revoked) await tellEvidence(server, revoked);
} finally {
  await server.stop();
}
process.exitCode = failures === 0 ? 0 : 1;

/**
 * Starts a standalone process (all apps in one) on a free port. `stop()` ends the process and removes the process's
 * data. `stop()` rejects if the exit code of the process is not 0.
 */
async function ownServer() {
  const standalone = await Standalone.start({ env: { PUBLIC_URL: OWN_ISSUER, LOG_LEVEL: 'error' }, stdout: 'inherit' });
  const stop = async () => {
    const code = await standalone.stop();
    if (code !== 0) throw new Error(`The server ended with ${code}`);
  };
  return { url: standalone.url, issuer: OWN_ISSUER, token: standalone.adminToken, stop };
}

/** @param {string} url */
function runningServer(url) {
  const token = readFileSync(options['token-file'] ?? 'data/admin.token', 'utf8').trim();
  return { url, issuer: options.issuer ?? url, token, stop: async () => {} };
}

/**
 * Returns a suffix that makes the names of this run unique on the server. An endpoint URI can never be claimed twice.
 */
function freshSuffix() {
  return `-${randomBytes(4).toString('hex')}`;
}

/**
 * Returns the day of day.json. The suffix is added to the ids and endpoint URIs. Each client holds its subscriptions as
 * objects, not as ids.
 * @param {any} script @param {string} suffix @returns {import('./steps.mjs').Day}
 */
function dayOf(script, suffix) {
  /** @type {import('./steps.mjs').Day} */
  const day = { workspaceIds: [], subscriptions: [], clients: [] };
  for (const workspace of script.workspaces) {
    const workspaceId = `${workspace.workspaceId}${suffix}`;
    const own = new Map();
    for (const subscription of workspace.subscriptions) {
      const { subscriptionId, endpointUri } = subscription;
      const named = { subscriptionId: `${subscriptionId}${suffix}`, endpointUri: `${endpointUri}${suffix}` };
      own.set(subscriptionId, { ...subscription, ...named, workspaceId });
    }
    day.workspaceIds.push(workspaceId);
    day.subscriptions.push(...own.values());
    for (const client of workspace.clients) {
      const subscriptions = client.subscriptions.map((/** @type {string} */ id) => own.get(id));
      day.clients.push({ ...client, workspaceId, subscriptions, credentials: [] });
    }
  }
  return day;
}

/**
 * Plays the steps one after another and prints their results. Returns the number of failures.
 * @param {MarketplaceService} service @param {import('./steps.mjs').Day} day
 */
async function play(service, day) {
  const { workspaceIds, subscriptions, clients } = day;
  console.log(
    `${workspaceIds.length} workspaces, ${subscriptions.length} subscriptions, ${clients.length} clients on ${service.url}`,
  );
  const plan = script.steps.map((/** @type {{ time: string, step: string }} */ { time, step }) => {
    if (!(step in steps)) throw new Error(`There is no step ${step}`);
    return { label: `${time} ${step}`, work: steps[step](service, day) };
  });
  const bar = new cliProgress.SingleBar(
    { format: '{bar} {value}/{total} {step}', hideCursor: true, noTTYOutput: true },
    cliProgress.Presets.shades_classic,
  );
  bar.start(
    sum(plan, ({ work }) => work.length),
    0,
    { step: '' },
  );
  const results = [];
  for (const { label, work } of plan) {
    const startedAt = performance.now();
    const requestsBefore = service.requests;
    const failures = await carryOut(work, () => bar.increment({ step: label }));
    const seconds = (performance.now() - startedAt) / 1000;
    results.push({ label, done: work.length, requests: service.requests - requestsBefore, seconds, failures });
  }
  bar.stop();
  summarize(results);
  return sum(results, ({ failures }) => failures.length);
}

/**
 * Runs the functions of `work`, at most `CONCURRENCY` at the same time. Returns the errors of the functions that
 * failed.
 * @param {(() => Promise<void>)[]} work @param {() => void} onEach
 */
async function carryOut(work, onEach) {
  /** @type {Error[]} */
  const failures = [];
  const queue = work.values();
  const worker = async () => {
    for (const piece of queue) {
      await piece().catch((error) => failures.push(error));
      onEach();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return failures;
}

/** @param {{ label: string, done: number, requests: number, seconds: number, failures: Error[] }[]} results */
function summarize(results) {
  const total = {
    label: 'the day',
    done: sum(results, ({ done }) => done),
    requests: sum(results, ({ requests }) => requests),
    seconds: sum(results, ({ seconds }) => seconds),
    failures: results.flatMap(({ failures }) => failures),
  };
  console.log(row('', 'done', 'requests', 'seconds', 'requests/s', 'failures'));
  for (const { label, done, requests, seconds, failures } of [...results, total]) {
    console.log(row(label, done, requests, seconds.toFixed(1), Math.round(requests / seconds), failures.length));
  }
  for (const failure of total.failures.slice(0, SHOWN_FAILURES)) console.error(`\n${failure.stack}`);
  const unshown = total.failures.length - SHOWN_FAILURES;
  if (unshown > 0) console.error(`\n… and ${unshown} more`);
}

/** @param {string} label @param {(string | number)[]} cells */
function row(label, ...cells) {
  return label.padEnd(24) + cells.map((cell) => String(cell).padStart(11)).join('');
}

/** @template T @param {T[]} items @param {(item: T) => number} of */
function sum(items, of) {
  return items.reduce((total, item) => total + of(item), 0);
}
