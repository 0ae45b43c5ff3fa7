import { randomBytes } from 'node:crypto';
import { newClientId } from '#credentials';
import { load, pacedLoad } from '../load.mjs';
import { below, ratioBelow, row } from '../report.mjs';
import { alternatingMedians, percentile } from '../rounds.mjs';
import { clientCredentialsLogin } from './requests.mjs';
import { CALLERS, companion } from './stage.mjs';

const section = 'How long calls take';
const FLOOD_PER_SECOND = 2000;
const GOOD_PER_SECOND = 500;

/**
 * Measures latencies at a fixed rate of calls. The time of a call begins when the call was due, not when it was sent.
 */
export async function latencies(bench, stage) {
  const scale = bench.isQuick ? { rounds: 1, seconds: 0.3 } : { rounds: 5, seconds: 3 };
  return [await checksAtHalfPeak(bench, stage, scale), await loginsInAFlood(bench, stage, scale)];
}

async function checksAtHalfPeak(bench, stage, { rounds, seconds }) {
  const { url } = stage.server;
  bench.say('gateway checks at half of their peak');
  const requests = await stage.checks();
  const { perSecond: peak } = await load({ url, callers: CALLERS, seconds, next: (caller) => requests[caller] });
  // The latency of bare Fastify at the same rate shows the delays that the machine and the load generator cause.
  const bare = await companion(bench, './bare-routes.mjs', { work: 'constant' });
  let sent = 0;
  const next = () => requests[sent++ % requests.length];
  const p99At = async (address) => p99Of(await pacedLoad({ url: address, perSecond: peak / 2, seconds, next }));
  const { checks, constant } = await alternatingMedians(rounds, {
    checks: () => p99At(url),
    constant: () => p99At(bare.ready.url),
  });
  await bare.stop();
  return row({
    ...{ section, name: `gateway check, p99 at ${Math.round(peak / 2)} a second, half of the peak`, unit: 'ms' },
    ...{ value: checks, against: 'bare Fastify, a constant', reference: constant, target: below(5, 'ms') },
  });
}

/** Measures good logins during a flood of logins with made-up credentials: well-formed, but never issued. */
async function loginsInAFlood(bench, { server: { url }, oauth }, { rounds, seconds }) {
  bench.say('good logins in a flood of made-up ones');
  const good = oauth.map(({ credential }) => clientCredentialsLogin(credential));
  let sent = 0;
  const goodLogins = async () =>
    p99Of(await pacedLoad({ url, perSecond: GOOD_PER_SECOND, seconds, next: () => good[sent++ % good.length] }));
  const { alone, inFlood } = await alternatingMedians(rounds, {
    alone: goodLogins,
    inFlood: async () => {
      const flood = pacedLoad({ url, perSecond: FLOOD_PER_SECOND, seconds, next: madeUpLogin, refused: true });
      const [p99] = await Promise.all([goodLogins(), flood]);
      return p99;
    },
  });
  return row({
    ...{ section, name: `good login, p99 beside ${FLOOD_PER_SECOND.toLocaleString('en')} made-up ones a second` },
    ...{ unit: 'ms', value: inFlood, against: 'no flood', reference: alone, target: ratioBelow(2) },
  });
}

const p99Of = ({ durations }) => percentile(durations, 0.99);

const madeUpLogin = () =>
  clientCredentialsLogin({ clientId: newClientId(), clientSecret: `ccs_${randomBytes(26).toString('hex')}` });
