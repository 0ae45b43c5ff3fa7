import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { httpRequest, sendOnce } from '../load.mjs';
import { MeasuredStandalone } from '../processes.mjs';
import { below, row } from '../report.mjs';
import { median } from '../rounds.mjs';

const section = 'Start and memory (built, empty log)';
const MEGABYTE = 1e6;

/** Measures starts on an empty data directory. So each start also creates the stores, the keys and the tokens. */
export async function start(bench) {
  const { starts, idleMs } = bench.isQuick ? { starts: 1, idleMs: 100 } : { starts: 7, idleMs: 3000 };
  bench.say('starts');
  const started = [];
  for (let count = 0; count < starts; count++) started.push(await startOnce(bench, idleMs));
  const medianOf = (name) => median(started.map((one) => one[name]));
  return [
    row({
      ...{ section, name: 'start to first answer', unit: 's', value: medianOf('toFirstAnswer') },
      target: below(1.5, 's'),
    }),
    row({ section, name: 'start to ready: read models served', unit: 's', value: medianOf('toReady') }),
    row({
      ...{ section, name: 'resident memory, idle', unit: 'MB', value: medianOf('resident') },
      target: below(180, 'MB'),
    }),
  ];
}

async function startOnce(bench, idleMs) {
  const startedAt = performance.now();
  const secondsSinceStart = () => (performance.now() - startedAt) / 1000;
  const server = await MeasuredStandalone.start(bench, bench.newFolder('start'));
  try {
    await sendOnce(server.url, httpRequest('GET', '/health/live'));
    const toFirstAnswer = secondsSinceStart();
    await server.caughtUp(0);
    const toReady = secondsSinceStart();
    await delay(idleMs);
    const [resident] = await server.metric('process_resident_memory_bytes');
    return { toFirstAnswer, toReady, resident: resident / MEGABYTE };
  } finally {
    await server.stop();
  }
}
