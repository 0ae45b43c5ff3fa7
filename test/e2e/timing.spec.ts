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

let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  server = await Standalone.startReady({
    env: { RATE_LIMIT_LOGIN_PER_CLIENT: '0', RATE_LIMIT_LOGIN_PER_ADDRESS: '0' },
  });
  portal = Portal.of(server);
});

afterAll(() => server.stop());

type Attempt = (round: number) => Promise<Answer<unknown>>;

/**
 * Measures how long each kind of refusal takes, as the median of `ROUNDS` attempts. Resolves to the relative difference
 * between the slowest and the fastest kind (0.1: 10 % slower). The kinds take turns, and every other round runs in the
 * reverse order, so that a slow moment of the machine affects all kinds.
 */
async function spreadOf(...kinds: readonly Attempt[]): Promise<number> {
  const measured = kinds.map((attempt) => ({ attempt, times: [] as number[] }));
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    for (const { attempt, times } of round % 2 === 0 ? measured : measured.toReversed()) {
      const begun = performance.now();
      const { status } = await attempt(round);
      const took = performance.now() - begun;
      if (status !== 401) throw new Error(`It was answered with ${status}`);
      if (round >= WARM_UP) times.push(took);
    }
  }
  const medians = measured.map(({ times }) => times.toSorted((a, b) => a - b)[ROUNDS / 2] ?? NaN);
  return Math.max(...medians) / Math.min(...medians) - 1;
}

/** One unknown client id per round. All ids are made before the measurement starts. */
const unknownIds = Array.from({ length: WARM_UP + ROUNDS }, () => newClientId());
const guessAt = (clientId: ClientId) => ({ clientId, secret: MADE_UP });

describe('a wrong secret of a known client takes as long as one of an unknown client', () => {
  test.each<[string, (guess: ReturnType<typeof guessAt>) => Promise<Answer<unknown>>]>([
    ['as an OAuth pair', (guess) => oauthLogin(server.url, guess)],
    ['as an API key', ({ clientId, secret }) => apiKeyLogin(server.url, apiKeyOf(clientId, secret), 'weather')],
    ['at introspection', (guess) => introspect(server.url, 'token', basicOf(guess))],
    ['at revocation', (guess) => revokeToken(server.url, 'token', basicOf(guess))],
  ])('%s', async (_, attempt) => {
    const { clientId } = await portal.newClient('OAUTH2');
    const spread = await spreadOf(
      () => attempt(guessAt(clientId)),
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
