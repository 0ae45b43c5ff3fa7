import { readFileSync } from 'node:fs';
import { load, sendOnce } from '../load.mjs';
import { ratioAbove, ratioAtLeast, ratioBelow, row } from '../report.mjs';
import { alternate, median, percentile } from '../rounds.mjs';
import { apiKeyLogin, clientCredentialsLogin, introspection } from './requests.mjs';
import { accessToken, CALLERS, companion } from './stage.mjs';

/**
 * Measures warm calls (secrets and tokens are already cached) at the highest rate that the server's core allows.
 * Compares these calls with bare Fastify and with `oidc-provider`.
 */
export async function rates(bench, stage) {
  const scale = bench.isQuick ? { rounds: 1, seconds: 0.1 } : { rounds: 5, seconds: 1.5 };
  const [constant, signature, verification] = await Promise.all(
    ['constant', 'signature', 'verification'].map((work) => companion(bench, './bare-routes.mjs', { work })),
  );
  const credentials = stage.oauth.map(({ credential }) => credential);
  const oidc = await companion(bench, './auth/oidc-provider.mjs', { credentials });
  const ours = (requests) => ({ server: stage.server, requests });
  const bare = (server, requests) => ({ server: { ...server, url: server.ready.url }, requests });

  bench.say('client_credentials logins');
  const logins = credentials.map((credential) => clientCredentialsLogin(credential));
  const oidcLogins = credentials.map((credential) => clientCredentialsLogin(credential, '/token'));
  const loggedIn = await measured(scale, {
    ours: ours(logins),
    bare: bare(signature, logins),
    oidc: bare(oidc, oidcLogins),
  });

  bench.say('API-key logins');
  const keyLogins = stage.keys.map(({ credential }) => apiKeyLogin(credential));
  const withKey = await measured(scale, { ours: ours(keyLogins), bare: bare(constant, keyLogins) });

  bench.say('gateway checks');
  const checks = await stage.checks();
  const checked = await measured(scale, { ours: ours(checks), bare: bare(constant, checks) });

  bench.say('introspections');
  const introspections = (await stage.tokens()).map((token, caller) => introspection(credentials[caller], token));
  const oidcTokens = await Promise.all(
    credentials.map((credential) => accessToken(oidc.ready.url, credential, '/token')),
  );
  const oidcIntrospections = oidcTokens.map((token, caller) =>
    introspection(credentials[caller], token, '/token/introspection'),
  );
  await active(stage.server.url, introspections[0]);
  await active(oidc.ready.url, oidcIntrospections[0]);
  const introspected = await measured(scale, {
    ours: ours(introspections),
    bare: bare(verification, introspections),
    oidc: bare(oidc, oidcIntrospections),
  });

  await Promise.all([constant, signature, verification, oidc].map((server) => server.stop()));
  return [
    ...besideBare('client_credentials login', 'one Ed25519 signature', loggedIn, ratioAtLeast(0.9)),
    ...besideBare('API-key login', 'a constant', withKey, ratioAtLeast(0.8)),
    ...besideBare('gateway check', 'a constant', checked, ratioAtLeast(1)),
    ...besideBare('introspection', 'one Ed25519 verification', introspected, ratioAtLeast(1)),
    ...besideOidcProvider('client_credentials logins', loggedIn),
    ...besideOidcProvider('introspections', introspected),
  ];
}

/**
 * Throws unless the introspected token is active. The load itself checks only the status, which is 200 for inactive
 * tokens, too.
 */
async function active(url, request) {
  const answer = JSON.parse(await sendOnce(url, request));
  if (!answer.active) throw new Error(`${url} takes its own token for inactive`);
}

/**
 * Measures each side of a comparison. Each caller repeats one request. Returns a function for each side. The function
 * takes the name of a figure, such as `p99`, and returns the median of that figure over all rounds.
 */
async function measured({ rounds, seconds }, sides) {
  const figures = await alternate(
    rounds,
    Object.fromEntries(
      Object.entries(sides).map(([name, { server, requests }]) => [
        name,
        async () => {
          const cpuBefore = cpuSeconds(server.child);
          const { answered, perSecond, durations } = await load({
            ...{ url: server.url, callers: CALLERS, seconds, next: (caller) => requests[caller] },
          });
          const cpuMicroseconds = ((cpuSeconds(server.child) - cpuBefore) / answered) * 1e6;
          return { perSecond, p99: percentile(durations, 0.99), cpuMicroseconds };
        },
      ]),
    ),
  );
  const mediansOf = (ofRounds) => (figure) => median(ofRounds.map((round) => round[figure]));
  return Object.fromEntries(Object.entries(figures).map(([name, ofRounds]) => [name, mediansOf(ofRounds)]));
}

/**
 * Returns the CPU time of all threads of the process, in seconds. Linux counts in ticks of 10 ms. Returns NaN on other
 * systems.
 */
function cpuSeconds({ pid }) {
  try {
    const [utime, stime] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13);
    return (Number(utime) + Number(stime)) / 100;
  } catch {
    return NaN;
  }
}

const besideBare = (name, work, { ours, bare }, target) => {
  const section = `Warm calls, ${CALLERS} callers`;
  const against = `bare Fastify, ${work}`;
  const rate = { section, name, unit: 'calls/s', value: ours('perSecond'), against, reference: bare('perSecond') };
  const cpu = { section, name: `${name}, CPU`, unit: 'µs', value: ours('cpuMicroseconds'), against };
  return [row({ ...rate, target }), row({ ...cpu, reference: bare('cpuMicroseconds') })];
};

const besideOidcProvider = (name, { ours, oidc }) => {
  const common = { section: `Beside oidc-provider, ${CALLERS} callers`, against: 'oidc-provider' };
  const rate = { name, unit: '1/s', value: ours('perSecond'), reference: oidc('perSecond'), target: ratioAbove(1) };
  const p99 = { name: `${name}, p99`, unit: 'ms', value: ours('p99'), reference: oidc('p99'), target: ratioBelow(1) };
  return [row({ ...common, ...rate }), row({ ...common, ...p99 })];
};
