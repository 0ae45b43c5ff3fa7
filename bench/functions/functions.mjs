import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { clientCredentialsLogin } from '../auth/requests.mjs';
import { Stage } from '../auth/stage.mjs';
import { Connection } from '../load.mjs';
import { atMost, row } from '../report.mjs';
import { median } from '../rounds.mjs';

const section = 'Functions of ours that one warm request runs';
const ROUNDS = 15;
const REQUESTS = 20;
/**
 * Limits for one warm request (secrets and tokens are already cached): how many functions the request may run, and how
 * many files may contain these functions.
 */
const LIMITS = { login: { functions: 115, files: 39 }, check: { functions: 63, files: 27 } };

/**
 * Counts the functions of `dist/` that one warm request calls on the main thread, and the files that contain these
 * functions. V8's precise coverage counts the calls, so the figures don't depend on the machine's speed. A figure above
 * its limit fails the run.
 */
export async function functions(bench) {
  bench.say('functions of a request');
  const folder = mkdtempSync(join(tmpdir(), 'call-counts-'));
  bench.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'socket');
  const stage = await Stage.open(bench, {
    NODE_OPTIONS: `--import=${new URL('call-counts.mjs', import.meta.url).href}`,
    CALL_COUNTS_SOCKET: socket,
  });
  const [check] = await stage.checks();
  const rows = [
    ...(await rowsOf('client_credentials login', clientCredentialsLogin(stage.oauth[0].credential), LIMITS.login)),
    ...(await rowsOf('gateway check', check, LIMITS.check)),
  ];
  await stage.server.stop();
  if (rows.some(({ met }) => !met)) process.exitCode = 1;
  return rows;

  async function rowsOf(name, request, limits) {
    const counted = await functionsOf(request, stage.server.url, socket);
    if (bench.printsNames) console.log(`${name}\n${listOf(counted)}\n`);
    const files = new Set(counted.map(({ file }) => file)).size;
    return [
      row({ section, name, unit: 'functions', value: counted.length, target: atMost(limits.functions) }),
      row({ section, name: `${name}, files`, unit: 'files', value: files, target: atMost(limits.files) }),
    ];
  }
}

/**
 * Returns the functions that a request calls, and how often. Each round sends equal requests one after the other, and
 * the result is the median of the rounds. Timers and log readers run at the same time. So each round also counts the
 * calls during an equally long time without requests, and subtracts these calls.
 */
async function functionsOf(request, url, socket) {
  const connection = await Connection.open(url);
  /** Sends `requests` equal requests. Returns the total duration in milliseconds. */
  const send = async (requests) => {
    const startedAt = performance.now();
    for (let sent = 0; sent < requests; sent++) await connection.send(request);
    return performance.now() - startedAt;
  };
  await send(REQUESTS);
  const called = new Map();
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    await callCounts(socket);
    const milliseconds = await send(REQUESTS);
    const busy = await callCounts(socket);
    await delay(milliseconds);
    const quiet = await callCounts(socket);
    for (const each of busy) called.set(placeOf(each), each);
    rounds.push({ busy: countsByPlace(busy), quiet: countsByPlace(quiet) });
  }
  connection.close();
  return [...called]
    .map(([place, { file, name, startOffset }]) => {
      const counts = rounds.map(({ busy, quiet }) => (busy.get(place) ?? 0) - (quiet.get(place) ?? 0));
      return { file, name, startOffset, calls: Math.round(median(counts) / REQUESTS) };
    })
    .filter(({ calls }) => calls > 0);
}

/** Returns how often each function was called since the previous call of `callCounts`. */
const callCounts = async (socket) => JSON.parse(await text(connect(socket)));

const placeOf = ({ file, startOffset }) => `${file}:${startOffset}`;
const countsByPlace = (counts) => new Map(counts.map((each) => [placeOf(each), each.count]));

/**
 * Returns one line per function, sorted: the function's place in `dist/`, its name, and how often one request calls it.
 */
const listOf = (counted) => counted.map(lineOf).sort().join('\n');

function lineOf({ file, name, startOffset, calls }) {
  const before = readFileSync(new URL(`../../dist/${file}`, import.meta.url), 'utf8').slice(0, startOffset);
  const line = String(before.split('\n').length).padStart(3, '0');
  return `  ${file}:${line} ${name || '(no name)'}${calls === 1 ? '' : ` ×${calls}`}`;
}
