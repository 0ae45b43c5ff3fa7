import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { EventStoreDBClient } from '@eventstore/db-client';
import { EventStoreDbLog } from '#event-log/eventstoredb';
import { atMost, row } from '../report.mjs';
import { CALL_OPTIONS, renamed } from './renamed.mjs';

const section = 'Strong reads of a stream’s end on EventStoreDB';
const FENCE_MAX_AGE_MS = 2000;
const CALLERS = 16;

/**
 * Counts how many calls our strong reads (reads that return every event acknowledged before) make to the EventStoreDB
 * driver.
 */
export async function strongReads(bench, { url, name, environment: { EVENTSTOREDB_PREFIX: prefix } }) {
  const { seconds } = bench.isQuick ? { seconds: 0.3 } : { seconds: 10 };
  bench.say('strong reads');
  const counts = { reads: 0, appends: 0 };
  let clients = 0;
  const createClient = (purpose) => {
    const separator = url.includes('?') ? '&' : '?';
    const client = EventStoreDBClient.connectionString(
      `${url}${separator}nodePreference=leader&keepAliveInterval=${11_000 + clients++}`,
    );
    return purpose === 'strong reads' ? counting(client, counts) : client;
  };
  const { credentials } = CALL_OPTIONS;
  const log = new EventStoreDbLog({ createClient, credentials, prefix, fenceMaxAgeMs: FENCE_MAX_AGE_MS });
  try {
    const streams = Array.from({ length: CALLERS }, () => `consumerClient-bench-${randomUUID()}`);
    const driver = createClient('appends');
    for (const stream of streams) await driver.appendToStream(`${prefix}${stream}`, renamed(), CALL_OPTIONS);
    await driver.dispose();
    const readAll = async () => {
      for (const stream of streams) await log.readStream(stream, { consistency: 'strong', limit: 1 });
    };
    await readAll();
    counts.reads = 0;
    counts.appends = 0;
    let answered = 0;
    const startedAt = performance.now();
    await Promise.all(
      streams.map(async (stream) => {
        while (performance.now() - startedAt < seconds * 1000) {
          await log.readStream(stream, { consistency: 'strong', direction: 'backwards', limit: 1 });
          answered++;
        }
      }),
    );
    const took = (performance.now() - startedAt) / 1000;
    const figures = { section, against: undefined };
    return [
      row({ ...figures, name: `strong reads, ${CALLERS} callers, ${name}`, unit: 'reads/s', value: answered / took }),
      row({
        ...figures,
        name: 'reads of the server, each',
        unit: 'reads',
        value: counts.reads / answered,
        target: atMost(1.01),
      }),
      row({
        ...{ ...figures, name: 'fence appends, the whole process', unit: 'in 2 s', value: (counts.appends / took) * 2 },
        // A fence is renewed after three quarters of its greatest age, so that no read waits for it.
        target: atMost(1.34),
      }),
    ];
  } finally {
    await log.close();
  }
}

const counting = (client, counts) =>
  new Proxy(client, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      return (...args) => {
        if (property === 'readStream') counts.reads++;
        if (property === 'appendToStream') counts.appends++;
        return value.apply(target, args);
      };
    },
  });
