import { apiKeyOf, newClientId } from '#credentials';
import type { ClientId } from '#domain';
import type { Answer } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { basicOf, clientOfKey, introspect, revokeToken } from '../support/api/oauth.js';
import { Portal, secretOf } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const MADE_UP = `ccs_${'a'.repeat(52)}`;
const WARM_UP = 500;
const ROUNDS = 2500;
const ALIKE = 0.05;
/** Measurements of `ROUNDS` attempts until the kinds are seen to be alike, before they count as different. */
const MEASUREMENTS = 4;
/** A client of a real system is one of many, and memory and caches treat one that is tried again and again better. */
const CLIENTS = 50;

let server: Standalone;
let portal: Portal;
let knownIds: ClientId[];

beforeAll(async () => {
  server = await Standalone.startReady({
    env: { RATE_LIMIT_LOGIN_PER_CLIENT: '0', RATE_LIMIT_LOGIN_PER_ADDRESS: '0' },
  });
  portal = Portal.of(server);
  knownIds = [];
  while (knownIds.length < CLIENTS) knownIds.push((await portal.newClient('OAUTH2')).clientId);
});

afterAll(() => server.stop());

type Attempt = (round: number) => Promise<Answer<unknown>>;

/**
 * Measures how long each kind of refusal takes, as the median of its attempts. Resolves to the relative difference
 * between the slowest and the fastest kind (0.1: 10 % slower). The kinds take turns, and every other round runs in the
 * reverse order, so that a slow moment of the machine affects all kinds. While the kinds differ, more attempts are
 * added: on a busy machine a median of few attempts is off, but a real difference stays with all of them.
 */
async function spreadOf(...kinds: readonly Attempt[]): Promise<number> {
  const measured = kinds.map((attempt) => ({ attempt, times: [] as number[] }));
  let round = 0;
  const runRounds = async (count: number) => {
    for (const end = round + count; round < end; round++) {
      for (const { attempt, times } of round % 2 === 0 ? measured : measured.toReversed()) {
        const begun = performance.now();
        const { status } = await attempt(round);
        times.push(performance.now() - begun);
        if (status !== 401) throw new Error(`It was answered with ${status}`);
      }
    }
  };
  await runRounds(WARM_UP);
  for (const { times } of measured) times.length = 0;

  let spread = Infinity;
  for (let measurement = 0; measurement < MEASUREMENTS && spread >= ALIKE; measurement++) {
    await runRounds(ROUNDS);
    const medians = measured.map(({ times }) => times.toSorted((a, b) => a - b)[times.length / 2] ?? NaN);
    spread = Math.max(...medians) / Math.min(...medians) - 1;
  }
  return spread;
}

/** One unknown client id per round. All ids are made before the measurement starts. */
const unknownIds = Array.from({ length: WARM_UP + MEASUREMENTS * ROUNDS }, () => newClientId());
const guessAt = (clientId: ClientId) => ({ clientId, secret: MADE_UP });

describe('a wrong secret of a known client takes as long as one of an unknown client', () => {
  test.each<[string, (guess: ReturnType<typeof guessAt>) => Promise<Answer<unknown>>]>([
    ['as an OAuth pair', (guess) => oauthLogin(server.url, guess)],
    ['as an API key', ({ clientId, secret }) => apiKeyLogin(server.url, apiKeyOf(clientId, secret), 'weather')],
    ['at introspection', (guess) => introspect(server.url, 'token', basicOf(guess))],
    ['at revocation', (guess) => revokeToken(server.url, 'token', basicOf(guess))],
  ])('%s', async (_, attempt) => {
    const spread = await spreadOf(
      (round) => attempt(guessAt(knownIds[round % CLIENTS] ?? newClientId())),
      (round) => attempt(guessAt(unknownIds[round] ?? newClientId())),
    );
    expect(spread).toBeLessThan(ALIKE);
  });
});

test('formerly good secrets take equally long, for every reason of refusal', async () => {
  const rotated = await portal.newClient('OAUTH2');
  await portal.rotate(rotated.clientId);
  const revoked = await portal.newClient('OAUTH2');
  await portal.revoke(revoked.clientId);
  const ofOtherType = clientOfKey((await portal.newClient('API_KEY')).secret);
  const draft = (await portal.draft('OAUTH2')).body;
  const neverCreated = { clientId: draft.clientId, secret: secretOf(draft) };
  // Only the first attempts of each kind run Argon2id; later verdicts come from memory. The warm-up covers these first
  // attempts.
  const kinds = [rotated, revoked, ofOtherType, neverCreated].map((client) => () => oauthLogin(server.url, client));
  expect(await spreadOf(...kinds)).toBeLessThan(ALIKE);
});
