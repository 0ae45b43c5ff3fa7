import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt } from 'jose';
import {
  type ActiveClient,
  type ClientId,
  consumerClient,
  type ConsumerClientEvent,
  type ConsumerClientState,
  type Instant,
  secondsAfter,
  type SigningKeysState,
  type SubscriptionState,
} from '#domain';
import {
  type DecidingStates,
  instantOf,
  issueAccessToken,
  standingOf,
  staticTokenPeriod,
  type TokenGrant,
  type VerifiedToken,
} from '#tokens';
import { fold } from '../../test/support/events/given.js';

const START: Instant = '2026-06-01T12:00:00.000Z';
const SECOND = Date.parse(START) / 1000;
const after = (seconds: number) => secondsAfter(START, seconds);
const ISSUER = 'https://api.marketplace.example';
const CLIENT: ClientId = 'cc_0123456789abcdefghijkl';
const KID = 'key-1';
const signer = { kid: KID, alg: 'EdDSA' as const, privateKey: generateKeyPairSync('ed25519').privateKey };

const keysIn = (status: SigningKeysState['keys'][number]['status']): SigningKeysState => ({
  masterKeyChecks: [],
  logKeys: [],
  keys: [{ kid: KID, alg: 'EdDSA', publicJwk: {}, masterKeyId: 'm', wrappedKey: 'w', publishedAt: START, status }],
});
const KEYS = keysIn('SIGNING');

const subscriptionOf = (subscriptionId: string, endpointUri: string): SubscriptionState & { status: 'LIVE' } => ({
  ...{ status: 'LIVE', subscriptionId, endpointUri },
  ...{ workspaceId: 'acme', serviceName: 'Weather', registeredAt: START },
});
const WEATHER = subscriptionOf('sub-1', 'weather');
const TIDES = subscriptionOf('sub-2', 'tides');
const ENDED: SubscriptionState = { ...WEATHER, status: 'ENDED', endedAt: START, reason: 'over' };

const created = (authenticationType: 'API_KEY' | 'OAUTH2'): ConsumerClientEvent => ({
  type: 'ConsumerClientCreated',
  data: {
    ...{ clientId: CLIENT, workspaceId: 'acme', name: 'Importer', authenticationType },
    ...{ verifier: 'v1', createdAt: START },
  },
});
const assigned = ({ subscriptionId, endpointUri, serviceName }: typeof WEATHER): ConsumerClientEvent => ({
  type: 'ConsumerClientAssignedToSubscription',
  data: { subscriptionId, endpointUri, serviceName, assignedAt: START },
});
const unassigned: ConsumerClientEvent = {
  type: 'ConsumerClientUnassignedFromSubscription',
  data: { subscriptionId: 'sub-1', reason: 'REQUESTED' },
};
const rotated = (generation: number, seconds: number, overlap: number): ConsumerClientEvent => ({
  type: 'ConsumerClientSecretRotated',
  data: {
    ...{ generation, verifier: `v${generation}` },
    ...{ rotatedAt: after(seconds), previousExpiresAt: after(seconds + overlap) },
  },
});
const retired: ConsumerClientEvent = {
  type: 'ConsumerClientCredentialRetired',
  data: { generation: 1, retiredAt: after(20) },
};
const revoked: ConsumerClientEvent = {
  type: 'ConsumerClientRevoked',
  data: { reason: 'leaked', subscriptions: [], revokedAt: after(10) },
};
const tokenRevoked = (
  kind: 'ACCESS_TOKEN' | 'REFRESH_FAMILY' | 'STATIC_TOKEN',
  tokenId: string,
  issuedAt = SECOND,
): ConsumerClientEvent => ({
  type: 'ConsumerClientTokenRevoked',
  data: { kind, tokenId, issuedAt: instantOf(issuedAt), revokedAt: after(10), expiresAt: after(86_400) },
});

const GRANT: TokenGrant = { issuer: ISSUER, clientId: CLIENT, generation: 1, family: { id: 'f-1', startedAt: SECOND } };
const FOR_WEATHER: TokenGrant = { ...GRANT, endpoint: WEATHER };

const accessToken = (grant = GRANT, issuedAt = START): VerifiedToken => ({
  kid: KID,
  claims: decodeJwt(issueAccessToken(signer, grant, { issuedAt, jti: 'jti-1' }).token),
});
const withClaims = ({ kid, claims }: VerifiedToken, change: Partial<VerifiedToken['claims']>): VerifiedToken => ({
  kid,
  claims: { ...claims, ...change },
});

const clientAfter = (...events: ConsumerClientEvent[]): ConsumerClientState => fold(consumerClient, events);
const OAUTH = [created('OAUTH2'), assigned(WEATHER)];

/** Returns `ACTIVE`, or the reason why the token is refused. */
const judged = (token: VerifiedToken, states: Partial<DecidingStates>, seconds = 30) => {
  const all = { client: clientAfter(...OAUTH), subscription: undefined, keys: KEYS, ...states };
  const standing = standingOf(token, all, { issuer: ISSUER, at: after(seconds) });
  return standing.active ? 'ACTIVE' : standing.refusal;
};

describe('an access token', () => {
  it('is good for 300 s, to the millisecond, and up to 5 s early by a slower clock', () => {
    expect(judged(accessToken(), {}, 299.999)).toBe('ACTIVE');
    expect(judged(accessToken(), {}, 300)).toBe('EXPIRED');
    expect(judged(accessToken(), {}, -5)).toBe('ACTIVE');
    expect(judged(accessToken(), {}, -5.001)).toBe('NOT_YET_VALID');
    expect(judged(withClaims(accessToken(), { nbf: SECOND + 35 }), {}, 30)).toBe('ACTIVE');
    expect(judged(withClaims(accessToken(), { nbf: SECOND + 36 }), {}, 30)).toBe('NOT_YET_VALID');
  });

  it('gives its client and the assignment that it is used for', () => {
    const client = clientAfter(...OAUTH);
    const states = { client, subscription: WEATHER, keys: KEYS };
    const standing = standingOf(accessToken(FOR_WEATHER), states, { issuer: ISSUER, at: START });
    expect(standing).toMatchObject({
      active: true,
      claims: { jti: 'jti-1' },
      client: { clientId: CLIENT },
      assignment: { subscriptionId: 'sub-1', endpointUri: 'weather' },
    });
  });

  it('needs this issuer, and an audience that this issuer makes', () => {
    expect(judged(withClaims(accessToken(), { iss: 'https://other.example' }), {})).toBe('OTHER_ISSUER');
    expect(judged(withClaims(accessToken(), { aud: `${ISSUER}/weather` }), {})).toBe('OTHER_AUDIENCE');
    const tides = withClaims(accessToken(FOR_WEATHER), { aud: `${ISSUER}/tides` });
    expect(judged(tides, { subscription: WEATHER })).toBe('OTHER_AUDIENCE');
  });

  it('needs a key that is not compromised', () => {
    for (const status of ['PUBLISHED', 'SIGNING', 'RETIRED'] as const) {
      expect(judged(accessToken(), { keys: keysIn(status) })).toBe('ACTIVE');
    }
    expect(judged(accessToken(), { keys: keysIn('COMPROMISED') })).toBe('SIGNING_KEY_COMPROMISED');
    expect(judged(accessToken(), { keys: { ...KEYS, keys: [] } })).toBe('SIGNING_KEY_COMPROMISED');
  });

  it('needs its own client to be active', () => {
    expect(judged(accessToken(), { client: clientAfter(...OAUTH, revoked) })).toBe('CLIENT_NOT_ACTIVE');
    expect(judged(accessToken(), { client: clientAfter() })).toBe('CLIENT_NOT_ACTIVE');
    const another = { ...(clientAfter(...OAUTH) as ActiveClient), clientId: 'cc_zzzzzzzzzzzzzzzzzzzzzz' as const };
    expect(judged(accessToken(), { client: another })).toBe('CLIENT_NOT_ACTIVE');
  });

  it('ends with its generation: at the end of the overlap, at once without one, by retirement', () => {
    const overlapping = clientAfter(...OAUTH, rotated(2, 10, 60));
    expect(judged(accessToken(), { client: overlapping }, 69.999)).toBe('ACTIVE');
    expect(judged(accessToken(), { client: overlapping }, 70)).toBe('GENERATION_ENDED');
    expect(judged(accessToken(), { client: clientAfter(...OAUTH, rotated(2, 10, 0)) })).toBe('GENERATION_ENDED');
    expect(judged(accessToken(), { client: clientAfter(...OAUTH, rotated(2, 10, 60), retired) })).toBe(
      'GENERATION_ENDED',
    );
    expect(judged(accessToken({ ...GRANT, generation: 2 }), { client: overlapping })).toBe('ACTIVE');
    expect(judged(accessToken({ ...GRANT, generation: 2 }), {})).toBe('GENERATION_ENDED');
  });

  it('is revoked alone or with its family, but not with another family', () => {
    const withRevoked = (...events: ConsumerClientEvent[]) => ({ client: clientAfter(...OAUTH, ...events) });
    expect(judged(accessToken(), withRevoked(tokenRevoked('ACCESS_TOKEN', 'jti-1')))).toBe('TOKEN_REVOKED');
    expect(judged(accessToken(), withRevoked(tokenRevoked('REFRESH_FAMILY', 'f-1')))).toBe('TOKEN_REVOKED');
    const others = [tokenRevoked('ACCESS_TOKEN', 'f-1'), tokenRevoked('REFRESH_FAMILY', 'jti-1')];
    expect(judged(accessToken(), withRevoked(...others))).toBe('ACTIVE');
  });

  it('stays revoked with its family when the family is forgotten among a thousand, even if it was issued later', () => {
    const family = { id: 'f-1', startedAt: SECOND };
    const refreshedLate = accessToken({ ...GRANT, family, tokenEpoch: 0 }, after(20));
    const thousand = Array.from({ length: 1000 }, (_, n) => tokenRevoked('REFRESH_FAMILY', `other-${n}`, SECOND + 5));
    const client = clientAfter(...OAUTH, tokenRevoked('REFRESH_FAMILY', 'f-1'), ...thousand);
    expect(judged(refreshedLate, { client })).toBe('TOKEN_REVOKED');
    const withoutEpoch = accessToken({ ...GRANT, family }, after(20));
    expect(judged(withoutEpoch, { client })).toBe('TOKEN_REVOKED');
    if (client.status !== 'ACTIVE') throw new Error('The client is not active');
    const tokenEpoch = client.tokens.epoch;
    const later = accessToken({ ...GRANT, family: { id: 'f-2', startedAt: SECOND }, tokenEpoch }, after(20));
    expect(judged(later, { client })).toBe('ACTIVE');
  });

  it('never outlives its family', () => {
    const family = { id: 'f-1', startedAt: SECOND - 86_400 + 100 };
    const { claims } = accessToken({ ...GRANT, family });
    expect(claims.exp - claims.iat).toBe(100);
  });
});

describe('the subscription that a token is used for', () => {
  it('may be any live and assigned subscription, for a token of the plain login', () => {
    expect(judged(accessToken(), { subscription: WEATHER })).toBe('ACTIVE');
    expect(judged(accessToken(), { subscription: TIDES })).toBe('NOT_ASSIGNED');
    expect(judged(accessToken(), { subscription: ENDED })).toBe('SUBSCRIPTION_NOT_LIVE');
    expect(judged(accessToken(), { subscription: { status: 'UNREGISTERED' } })).toBe('SUBSCRIPTION_NOT_LIVE');
  });

  it('must be the subscription that the token names, for a token of one endpoint', () => {
    const token = accessToken(FOR_WEATHER);
    expect(judged(token, { subscription: WEATHER })).toBe('ACTIVE');
    expect(judged(token, { client: clientAfter(...OAUTH, assigned(TIDES)), subscription: TIDES })).toBe(
      'OTHER_SUBSCRIPTION',
    );
    expect(judged(token, { subscription: undefined })).toBe('SUBSCRIPTION_NOT_LIVE');
    expect(judged(token, { subscription: ENDED })).toBe('SUBSCRIPTION_NOT_LIVE');
    expect(judged(token, { client: clientAfter(...OAUTH, unassigned), subscription: WEATHER })).toBe('NOT_ASSIGNED');
  });

  it('follows the present assignments, since the token contains none', () => {
    const again = clientAfter(...OAUTH, unassigned, assigned(WEATHER));
    expect(judged(accessToken(FOR_WEATHER), { client: again, subscription: WEATHER })).toBe('ACTIVE');
  });
});

describe('a static token', () => {
  const grant: TokenGrant = { issuer: ISSUER, clientId: CLIENT, generation: 1 };
  const period = (jti: string, issuedAt = START, of = grant) => staticTokenPeriod(of, signer, { issuedAt, jti });
  const issued = (data: ReturnType<typeof period>): ConsumerClientEvent => ({
    type: 'ConsumerClientStaticTokenIssued',
    data: { ...data, replacedTokens: 'KEPT' },
  });
  const tokenOf = (data: ReturnType<typeof period>): VerifiedToken => ({
    kid: data.kid,
    claims: data.claims as VerifiedToken['claims'],
  });
  const API_KEY = [created('API_KEY'), assigned(WEATHER)];
  const YEAR = 31_536_000;

  it('is good for its year, and only if it is the current one of its generation and scope', () => {
    const [first, second] = [period('jti-1'), period('jti-2', after(YEAR))];
    const client = clientAfter(...API_KEY, issued(first));
    expect(judged(tokenOf(first), { client }, YEAR - 0.001)).toBe('ACTIVE');
    expect(judged(tokenOf(first), { client }, YEAR)).toBe('EXPIRED');
    expect(judged(tokenOf(second), { client }, YEAR)).toBe('TOKEN_REVOKED');
    const renewed = clientAfter(...API_KEY, issued(first), issued(second));
    expect(judged(tokenOf(second), { client: renewed }, YEAR)).toBe('ACTIVE');
    const anotherKey = { ...tokenOf(first), kid: 'key-2' };
    const keys = { ...KEYS, keys: KEYS.keys.flatMap((key) => [key, { ...key, kid: 'key-2' }]) };
    expect(judged(anotherKey, { client, keys })).toBe('TOKEN_REVOKED');
  });

  it('survives a changed PUBLIC_URL, since its period records issuer and audience', () => {
    const elsewhere = { ...grant, issuer: 'https://former.example', endpoint: WEATHER };
    const former = period('jti-1', START, elsewhere);
    const client = clientAfter(...API_KEY, issued(former));
    expect(judged(tokenOf(former), { client, subscription: WEATHER })).toBe('ACTIVE');
  });

  it('ends with its revocation, and with a new generation', () => {
    const first = period('jti-1');
    const past = [...API_KEY, issued(first)];
    const gone = clientAfter(...past, tokenRevoked('STATIC_TOKEN', 'jti-1'));
    expect(judged(tokenOf(first), { client: gone })).toBe('TOKEN_REVOKED');
    expect(judged(tokenOf(first), { client: clientAfter(...past, rotated(2, 10, 0)) })).toBe('GENERATION_ENDED');
  });
});
