import {
  type ActiveClient,
  type Assignment,
  type AuthenticationType,
  type ClientDescription,
  clientIdOf,
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type CreateClient,
  currentStaticToken,
  type DescriptionChange,
  goodCredentials,
  isClientId,
  isGoodGeneration,
  isTokenRevoked,
  MAX_CLOCK_SKEW_SECONDS,
  MAX_PARTIAL_ENDS,
  MAX_REMEMBERED_REVOCATIONS,
  MAX_STATIC_TOKENS,
  MAX_SUBSCRIPTIONS,
  MAX_TOKEN_REVOCATIONS_PER_MINUTE,
  newestCredential,
  type ReplacedTokens,
  RESERVED_LABEL_KEYS,
  type RevokedTokenKind,
  type RotateSecret,
  secondsAfter,
  type StaticTokenPeriod,
  type SubscriptionState,
  type UnassignmentReason,
  usableStaticToken,
} from '#domain';
import { fold, specification } from '../../test/support/events/given.js';

const given = specification(consumerClient);

const START = '2026-03-01T08:00:00.000Z';
const after = (seconds: number) => secondsAfter(START, seconds);
const DAY = 86_400;
const YEAR = 31_536_000;

const IDENTITY = { clientId: 'cc_0123456789abcdef', workspaceId: 'acme', name: 'Billing' } as const;

// ---- events

const created = (authenticationType: AuthenticationType = 'OAUTH2', draftId?: string): ConsumerClientEvent => ({
  type: 'ConsumerClientCreated',
  data: {
    ...IDENTITY,
    authenticationType,
    verifier: 'verifier 1',
    ...(draftId === undefined ? {} : { draftId }),
    createdAt: START,
  },
});
/** Adds what a creation or a rotation tells apart from the necessary. */
const withData = <Event extends ConsumerClientEvent>(event: Event, data: object): Event => ({
  ...event,
  data: { ...event.data, ...data },
});
const described = (data: ClientDescription): ConsumerClientEvent => ({ type: 'ConsumerClientDescribed', data });
const renamed = (name: string): ConsumerClientEvent => ({ type: 'ConsumerClientRenamed', data: { name } });
const rotated = (generation: number, seconds: number, overlap = 0, draftId?: string): ConsumerClientEvent => ({
  type: 'ConsumerClientSecretRotated',
  data: {
    generation,
    verifier: `verifier ${generation}`,
    ...(draftId === undefined ? {} : { draftId }),
    rotatedAt: after(seconds),
    previousExpiresAt: after(seconds + overlap),
  },
});
const credentialRetired = (generation: number, seconds: number): ConsumerClientEvent => ({
  type: 'ConsumerClientCredentialRetired',
  data: { generation, retiredAt: after(seconds) },
});
const assignment = (subscriptionId: string): Assignment => ({
  subscriptionId,
  endpointUri: `${subscriptionId}-uri`,
  serviceName: `Service of ${subscriptionId}`,
  assignedAt: START,
});
const assigned = (subscriptionId: string): ConsumerClientEvent => ({
  type: 'ConsumerClientAssignedToSubscription',
  data: assignment(subscriptionId),
});
const unassigned = (subscriptionId: string, reason: UnassignmentReason = 'REQUESTED'): ConsumerClientEvent => ({
  type: 'ConsumerClientUnassignedFromSubscription',
  data: { subscriptionId, reason },
});
const issued = (token: StaticTokenPeriod, replacedTokens: ReplacedTokens = 'KEPT'): ConsumerClientEvent => ({
  type: 'ConsumerClientStaticTokenIssued',
  data: { ...token, replacedTokens },
});
/** The event that revokes a token. The token was issued 10 s before, and would have lasted `lifetime` more seconds. */
const tokenRevoked = (
  kind: RevokedTokenKind,
  tokenId: string,
  seconds: number,
  lifetime = 300,
): ConsumerClientEvent => ({
  type: 'ConsumerClientTokenRevoked',
  data: {
    kind,
    tokenId,
    issuedAt: after(seconds - 10),
    revokedAt: after(seconds),
    expiresAt: after(seconds + lifetime),
  },
});
const tokensEnded = (upTo: number, seconds: number): ConsumerClientEvent => ({
  type: 'ConsumerClientTokensEnded',
  data: { issuedUpTo: after(upTo), endedAt: after(seconds) },
});
const revoked = (reason: string, ...subscriptions: string[]): ConsumerClientEvent => ({
  type: 'ConsumerClientRevoked',
  data: { reason, subscriptions, revokedAt: START },
});

// ---- commands

const create = (change: Partial<CreateClient> = {}) =>
  ({
    type: 'CreateClient',
    ...IDENTITY,
    authenticationType: 'OAUTH2',
    verifier: 'verifier 1',
    ...change,
    at: START,
  }) as const satisfies CreateClient;
const describeClient = (change: DescriptionChange) =>
  ({ type: 'DescribeClient', workspaceId: 'acme', ...change, at: START }) as const;
const rename = (name: string, workspaceId = 'acme') =>
  ({ type: 'DescribeClient', workspaceId, name, at: START }) as const;
const rotate = (
  generation: number,
  seconds: number,
  change: Pick<Partial<RotateSecret>, 'overlapSeconds' | 'draft' | 'expiresAt' | 'hint'> = {},
) =>
  ({
    type: 'RotateSecret',
    workspaceId: 'acme',
    verifier: `verifier ${generation}`,
    ...change,
    at: after(seconds),
  }) as const;
const retire = (generation: number, seconds: number) =>
  ({ type: 'RetireCredential', workspaceId: 'acme', generation, at: after(seconds) }) as const;
const live = (subscriptionId: string, workspaceId = 'acme'): SubscriptionState => ({
  status: 'LIVE',
  workspaceId,
  subscriptionId,
  endpointUri: `${subscriptionId}-uri`,
  serviceName: `Service of ${subscriptionId}`,
  registeredAt: START,
});
const ended = (subscriptionId: string): SubscriptionState => ({
  status: 'ENDED',
  subscriptionId,
  workspaceId: 'acme',
  endpointUri: `${subscriptionId}-uri`,
  serviceName: `Service of ${subscriptionId}`,
  registeredAt: START,
  endedAt: START,
  reason: 'contract over',
});
const assign = (subscription: SubscriptionState) =>
  ({ type: 'AssignToSubscription', workspaceId: 'acme', subscription, at: START }) as const;
const unassign = (subscriptionId: string, reason: UnassignmentReason = 'REQUESTED') =>
  ({ type: 'UnassignFromSubscription', workspaceId: 'acme', subscriptionId, reason, at: START }) as const;
const issue = (token: StaticTokenPeriod, compromisedKids: string[] = []) =>
  ({ type: 'IssueStaticToken', token, compromisedKids, at: token.issuedAt }) as const;
const revokeToken = (kind: RevokedTokenKind, tokenId: string, seconds: number, lifetime = 300) =>
  ({
    type: 'RevokeToken',
    kind,
    tokenId,
    issuedAt: after(seconds - 10),
    expiresAt: after(seconds + lifetime),
    at: after(seconds),
  }) as const;
const endAllTokens = (seconds: number) => ({ type: 'EndTokens', at: after(seconds) }) as const;
const endTokens = (issuedBefore: number, seconds: number) =>
  ({ ...endAllTokens(seconds), issuedBefore: after(issuedBefore) }) as const;
const revoke = (reason: string, workspaceId = 'acme') =>
  ({ type: 'RevokeClient', workspaceId, reason, at: START }) as const;

const staticToken = (
  jti: string,
  { generation = 1, seconds = 0, ...scope }: { generation?: number; seconds?: number; subscriptionId?: string } = {},
): StaticTokenPeriod => ({
  generation,
  ...scope,
  jti,
  kid: 'k1',
  issuedAt: after(seconds),
  expiresAt: after(seconds + YEAR),
  header: { alg: 'EdDSA', kid: 'k1', typ: 'at+jwt' },
  claims: { jti, sub: IDENTITY.clientId },
});

const active = (...events: ConsumerClientEvent[]): ActiveClient => {
  const state = fold(consumerClient, events);
  if (state.status !== 'ACTIVE') throw new Error(`The client is ${state.status}`);
  return state;
};
const goodGenerations = (client: ActiveClient, seconds: number) =>
  goodCredentials(client, after(seconds)).map(({ generation }) => generation);

it('has its own stream, under an id of a fixed form', () => {
  expect(consumerClient.stream(IDENTITY.clientId)).toBe('consumerClient-cc_0123456789abcdef');
  expect(clientIdOf('consumerClient-cc_0123456789abcdef')).toBe(IDENTITY.clientId);
  expect(clientIdOf('subscription-sub_weather')).toBeUndefined();
  expect(() => clientIdOf('consumerClient-cc_short')).toThrow('names no client');
  expect(isClientId(IDENTITY.clientId)).toBe(true);
  for (const other of [
    '',
    'cc_',
    'cc_short',
    'xx_0123456789abcdef',
    'cc_0123456789abcde-',
    'cc_0123456789abcdef\n',
    7,
  ]) {
    expect(isClientId(other)).toBe(false);
  }
});

describe('creating a client', () => {
  it('records it with its first credential', () => {
    given().when(create()).then(created());
    const client = active(created());
    expect(newestCredential(client)).toEqual({ generation: 1, verifier: 'verifier 1', createdAt: START });
  });

  it('records the draft that the credential came from', () => {
    given()
      .when(create({ draftId: 'draft-1' }))
      .then(created('OAUTH2', 'draft-1'));
  });

  it('records hint, expiry, description, labels and external id', () => {
    const more = {
      ...{ hint: '7Kq2', expiresAt: after(YEAR), description: 'Imports invoices' },
      ...{ labels: { team: 'planning', 'acme.example/stage': 'production' }, externalId: 'crm:4711' },
    };
    given()
      .when(create({ ...more, description: '  Imports invoices ', labels: { ...more.labels, team: ' planning ' } }))
      .then(withData(created(), more));
    const { credentials, ...client } = active(withData(created(), more));
    const { hint, expiresAt, ...description } = more;
    expect(client).toMatchObject(description);
    expect(credentials).toEqual([{ generation: 1, verifier: 'verifier 1', createdAt: START, hint, expiresAt }]);
  });

  it('assigns it to its first subscriptions', () => {
    given()
      .when(create({ subscriptions: [live('sub-1'), live('sub-2'), live('sub-1')] }))
      .then(created(), assigned('sub-1'), assigned('sub-2'));
  });

  it.each<[string, string, readonly SubscriptionState[]]>([
    ['subscription_not_found', 'subscriptions[1]', [live('sub-1'), live('sub-2', 'globex')]],
    ['subscription_not_found', 'subscriptions[0]', [{ status: 'UNREGISTERED' }]],
    ['subscription_ended', 'subscriptions[2]', [live('sub-1'), live('sub-2'), ended('sub-3')]],
    ['invalid_subscriptions', 'subscriptions', Array.from({ length: 51 }, (_, n) => live(`sub-${n}`))],
  ])('is refused with %s if a subscription is not to be had: %s', (code, field, subscriptions) => {
    given().when(create({ subscriptions })).thenRefused(code, field);
  });

  it.each<[number, boolean]>([
    [-1, false],
    [0, false],
    [1, true],
    [10 * YEAR, true],
    [10 * YEAR + 1, false],
  ])('takes an expiry in %d seconds: %s', (seconds, isTaken) => {
    const expiresAt = after(seconds);
    const creating = given().when(create({ expiresAt }));
    const rotating = given(created()).when(rotate(2, 0, { expiresAt }));
    if (isTaken) {
      creating.then(withData(created(), { expiresAt }));
      rotating.then(withData(rotated(2, 0), { expiresAt }));
    } else {
      creating.thenRefused('invalid_expiry', 'expiresAt');
      rotating.thenRefused('invalid_expiry', 'expiresAt');
    }
  });

  it('trims the name', () => {
    given()
      .when(create({ name: '\t Billing \n' }))
      .then(created());
  });

  it('is refused under an id that is in use, also by a revoked client', () => {
    given(created()).when(create()).thenRefused('client_exists');
    given(created(), revoked('leaked')).when(create()).thenRefused('client_exists');
  });

  it('is refused from a draft that was used', () => {
    given(created('OAUTH2', 'draft-1'))
      .when(create({ draftId: 'draft-1' }))
      .thenRefused('draft_stale', 'draft');
    given(created('OAUTH2', 'draft-1'), revoked('leaked'))
      .when(create({ draftId: 'draft-1' }))
      .thenRefused('draft_stale', 'draft');
  });
});

describe('a name', () => {
  const good = [
    'x',
    'Zahlungsverkehr – Köln',
    'שלום \u200eABC',
    'مي\u200cخواهم',
    '👩\u200d💻',
    '\u0301',
    'x'.repeat(100),
    '🌦️'.repeat(50),
    `  ${'x'.repeat(100)}  `,
  ];
  const bad = [
    '',
    '   ',
    '\n',
    'x'.repeat(101),
    '🌦️'.repeat(51),
    'a\u0000b',
    'a\nb',
    'a\u007fb',
    'a\u0085b',
    'a\u2028b',
    'a\u2029b',
    'a\u202eb',
    'a\u202ab\u202c',
    '\u2067a\u2069',
    '\u200b',
    '\u200e \u200f',
    '\u00ad\u3164\ufe0f',
    '\u2800',
    '\ufffb',
    '\u{e0041}',
    'a\ud83cb',
  ];

  it.each(good)('may be %j', (name) => {
    given(created()).when(rename(name)).then(renamed(name.trim()));
  });

  it.each(bad)('may not be %j', (name) => {
    given().when(create({ name })).thenRefused('invalid_name', 'name');
    given(created()).when(rename(name)).thenRefused('invalid_name', 'name');
  });
});

describe('renaming a client', () => {
  it('records the new name', () => {
    given(created()).when(rename(' Invoices ')).then(renamed('Invoices'));
    expect(active(created(), renamed('Invoices')).name).toBe('Invoices');
  });

  it('changes nothing if the client has that name already', () => {
    given(created()).when(rename('Billing')).thenNothing();
    given(created(), renamed('Invoices')).when(rename(' Invoices')).thenNothing();
  });

  it('is refused once the client is revoked', () => {
    given(created(), revoked('leaked')).when(rename('Invoices')).thenRefused('client_revoked');
  });
});

describe('describing a client', () => {
  const labels = { team: 'planning', stage: 'test' };
  const known = described({ description: 'Imports invoices', labels, externalId: 'crm:1' });

  it('changes what is given, removes what is null, and keeps the rest', () => {
    given(created())
      .when(describeClient({ description: ' Imports invoices ', labels, externalId: 'crm:1' }))
      .then(known);
    given(created(), known)
      .when(describeClient({ description: null, labels: { stage: null, owner: 'Ada' } }))
      .then(described({ labels: { team: 'planning', owner: 'Ada' }, externalId: 'crm:1' }));
    given(created(), known)
      .when(describeClient({ labels: null, externalId: 'crm:2' }))
      .then(described({ description: 'Imports invoices', externalId: 'crm:2' }));
    given(created(), known)
      .when(describeClient({ description: null, labels: { team: null, stage: null }, externalId: null }))
      .then(described({}));
  });

  it('renames it in the same step', () => {
    given(created())
      .when({ ...describeClient({ externalId: 'crm:1' }), name: 'Invoices' })
      .then(renamed('Invoices'), described({ externalId: 'crm:1' }));
  });

  it('changes nothing when all is so already', () => {
    given(created(), known)
      .when(
        describeClient({
          description: 'Imports invoices',
          labels: { stage: 'test ', gone: null },
          externalId: 'crm:1',
        }),
      )
      .thenNothing();
    given(created())
      .when(describeClient({ description: null, labels: null, externalId: null }))
      .thenNothing();
  });

  it('shows also after the revocation', () => {
    expect(fold(consumerClient, [created(), known, revoked('leaked')])).toMatchObject(known.data);
  });

  it.each<[string, string, DescriptionChange]>([
    ['invalid_description', 'description', { description: ' ' }],
    ['invalid_description', 'description', { description: '\u200b' }],
    ['invalid_description', 'description', { description: 'x'.repeat(501) }],
    ['invalid_labels', 'labels', { labels: { '': 'x' } }],
    ['invalid_labels', 'labels', { labels: { '-team': 'x' } }],
    ['invalid_labels', 'labels', { labels: { ['k'.repeat(64)]: 'x' } }],
    ['invalid_labels', 'labels', { labels: { 'team\n': null } }],
    ['invalid_labels', 'labels.team', { labels: { team: '' } }],
    ['invalid_labels', 'labels.team', { labels: { team: 'a\u202eb' } }],
    ['invalid_labels', 'labels.team', { labels: { team: 'x'.repeat(101) } }],
    ['invalid_labels', 'labels', { labels: Object.fromEntries(Array.from({ length: 15 }, (_, n) => [`k${n}`, 'v'])) }],
    ['invalid_external_id', 'externalId', { externalId: '' }],
    ['invalid_external_id', 'externalId', { externalId: 'crm 1' }],
    ['invalid_external_id', 'externalId', { externalId: 'crm:1\n' }],
    ['invalid_external_id', 'externalId', { externalId: 'x'.repeat(129) }],
  ])('is refused with %s for %s: %j', (code, field, change) => {
    given(created(), known).when(describeClient(change)).thenRefused(code, field);
  });

  it.each([...Object.getOwnPropertyNames(Object.prototype), 'prototype'])('has no label with the key %s', (key) => {
    given(created(), known)
      .when(describeClient({ labels: Object.fromEntries([[key, 'x']]) }))
      .thenRefused('invalid_labels', 'labels');
  });

  it('has labels with keys that only resemble those', () => {
    expect(RESERVED_LABEL_KEYS.filter((key) => !(key in {}) && key !== 'prototype')).toEqual([]);
    given(created(), described({}))
      .when(describeClient({ labels: { Constructor: 'x', 'to-string': 'y' } }))
      .then(described({ labels: { Constructor: 'x', 'to-string': 'y' } }));
  });
});

describe('a secret with an expiry', () => {
  const expiring = withData(created(), { expiresAt: after(100) });

  it('is good until then, and the client stays active', () => {
    const client = active(expiring);
    expect(goodGenerations(client, 99.999)).toEqual([1]);
    expect(goodGenerations(client, 100)).toEqual([]);
    expect(isGoodGeneration(client, 1, after(99.999))).toBe(true);
    expect(isGoodGeneration(client, 1, after(100))).toBe(false);
  });

  it('is replaced by a rotation, also after its expiry', () => {
    const client = active(expiring, rotated(2, 200));
    expect(goodGenerations(client, 200)).toEqual([2]);
    expect(goodGenerations(client, YEAR)).toEqual([2]);
  });

  it.each([
    ['before its expiry', 50, 20, 70],
    ['at its expiry', 50, 50, 100],
    ['at its expiry, though the overlap is longer', 50, 3600, 100],
    ['at the rotation, if it has expired', 150, 3600, 150],
  ])('ends %s when it is rotated with an overlap', (_, seconds, overlapSeconds, end) => {
    given(expiring)
      .when(rotate(2, seconds, { overlapSeconds }))
      .then(rotated(2, seconds, end - seconds));
    const client = active(expiring, rotated(2, seconds, end - seconds));
    expect(goodGenerations(client, end - 0.001)).toEqual(end > seconds ? [1, 2] : [2]);
    expect(goodGenerations(client, end)).toEqual([2]);
  });

  it('gets no static token after its expiry', () => {
    const apiKey = withData(created('API_KEY'), { expiresAt: after(100) });
    given(apiKey)
      .when(issue(staticToken('jti-1', { seconds: 100 })))
      .thenRefused('generation_not_found', 'generation');
  });
});

describe('rotating the secret', () => {
  it('makes the next generation', () => {
    given(created()).when(rotate(2, 60)).then(rotated(2, 60));
    given(created(), rotated(2, 60)).when(rotate(3, 90)).then(rotated(3, 90));
  });

  it('ends the generation before at once, without an overlap', () => {
    const client = active(created(), rotated(2, 60));
    expect(goodGenerations(client, 60)).toEqual([2]);
  });

  it('keeps the generation before good until the overlap has ended', () => {
    given(created())
      .when(rotate(2, 60, { overlapSeconds: 100 }))
      .then(rotated(2, 60, 100));
    const client = active(created(), rotated(2, 60, 100));
    expect(goodGenerations(client, 60)).toEqual([1, 2]);
    expect(goodGenerations(client, 159.999)).toEqual([1, 2]);
    expect(goodGenerations(client, 160)).toEqual([2]);
    expect(goodGenerations(client, 160 + DAY)).toEqual([2]);
  });

  it('ends an older overlap, so that two generations are good at most', () => {
    const client = active(created(), rotated(2, 60, DAY), rotated(3, 90, DAY));
    expect(goodGenerations(client, 90)).toEqual([2, 3]);
    expect(goodGenerations(active(created(), rotated(2, 60, DAY), rotated(3, 90)), 90)).toEqual([3]);
  });

  it.each([0, 1, 604_800])('may overlap %d s', (overlapSeconds) => {
    given(created())
      .when(rotate(2, 0, { overlapSeconds }))
      .then(rotated(2, 0, overlapSeconds));
  });

  it.each([-1, 604_801, 1.5, NaN, Infinity])('may not overlap %d s', (overlapSeconds) => {
    given(created())
      .when(rotate(2, 0, { overlapSeconds }))
      .thenRefused('invalid_overlap', 'overlapSeconds');
  });

  it('takes the credential of a draft that was minted for this generation', () => {
    given(created())
      .when(rotate(2, 60, { draft: { draftId: 'draft-2', generation: 2 } }))
      .then(rotated(2, 60, 0, 'draft-2'));
  });

  it('is refused from a draft that was used, or made before another rotation', () => {
    given(created(), rotated(2, 60, 0, 'draft-2'))
      .when(rotate(3, 90, { draft: { draftId: 'draft-2', generation: 2 } }))
      .thenRefused('draft_stale', 'draft');
    given(created(), rotated(2, 60))
      .when(rotate(3, 90, { draft: { draftId: 'draft-7', generation: 2 } }))
      .thenRefused('draft_stale', 'draft');
  });

  it('is refused once the client is revoked', () => {
    given(created(), revoked('leaked')).when(rotate(2, 60)).thenRefused('client_revoked');
  });
});

describe('retiring a credential', () => {
  it('ends its overlap early', () => {
    given(created(), rotated(2, 60, DAY))
      .when(retire(1, 90))
      .then(credentialRetired(1, 90));
    expect(goodGenerations(active(created(), rotated(2, 60, DAY), credentialRetired(1, 90)), 90)).toEqual([2]);
  });

  it('is recorded even if the overlap seems to be over: the clock may be ahead', () => {
    given(created(), rotated(2, 60, 10))
      .when(retire(1, 60 + DAY))
      .then(credentialRetired(1, 60 + DAY));
    expect(goodGenerations(active(created(), rotated(2, 60, 10), credentialRetired(1, 60 + DAY)), 61)).toEqual([2]);
  });

  it('changes nothing when the client does not have the generation any more', () => {
    given(created(), rotated(2, 60)).when(retire(1, 90)).thenNothing();
    given(created(), rotated(2, 60, DAY), credentialRetired(1, 90))
      .when(retire(1, 91))
      .thenNothing();
    given(created(), rotated(2, 60, DAY), rotated(3, 90, DAY))
      .when(retire(1, 91))
      .thenNothing();
  });

  it('is refused for the newest generation', () => {
    given(created()).when(retire(1, 90)).thenRefused('generation_is_newest', 'generation');
    given(created(), rotated(2, 60, DAY))
      .when(retire(2, 90))
      .thenRefused('generation_is_newest', 'generation');
  });

  it.each([0, -1, 3, 1.5, NaN])('is refused for generation %d, which never existed', (generation) => {
    given(created(), rotated(2, 60, DAY))
      .when(retire(generation, 90))
      .thenRefused('generation_not_found', 'generation');
  });

  it('is refused once the client is revoked', () => {
    given(created(), rotated(2, 60, DAY), revoked('leaked'))
      .when(retire(1, 90))
      .thenRefused('client_revoked');
  });
});

describe('assigning to a subscription', () => {
  it('records the endpoint URI and the service name, which never change', () => {
    given(created())
      .when(assign(live('sub-1')))
      .then(assigned('sub-1'));
    expect([...active(created(), assigned('sub-1')).subscriptions]).toEqual([['sub-1', assignment('sub-1')]]);
  });

  it('changes nothing when the client is assigned', () => {
    given(created(), assigned('sub-1'))
      .when(assign(live('sub-1')))
      .thenNothing();
  });

  it('is possible again after an unassignment', () => {
    given(created(), assigned('sub-1'), unassigned('sub-1'))
      .when(assign(live('sub-1')))
      .then(assigned('sub-1'));
  });

  it("is refused for an unknown subscription, and likewise for another workspace's", () => {
    given(created())
      .when(assign({ status: 'UNREGISTERED' }))
      .thenRefused('subscription_not_found');
    given(created())
      .when(assign(live('sub-1', 'globex')))
      .thenRefused('subscription_not_found');
  });

  it('is refused for an ended subscription', () => {
    given(created())
      .when(assign(ended('sub-1')))
      .thenRefused('subscription_ended');
  });

  it('is refused beyond 1000 at a time', () => {
    expect(MAX_SUBSCRIPTIONS).toBe(1000);
    const full = Array.from({ length: 1000 }, (_, n) => assigned(`sub-${n}`));
    given(created(), ...full)
      .when(assign(live('one-more')))
      .thenRefused('too_many_subscriptions');
    given(created(), ...full)
      .when(assign(live('sub-7')))
      .thenNothing();
    given(created(), ...full, unassigned('sub-7'))
      .when(assign(live('one-more')))
      .then(assigned('one-more'));
  });

  it('is refused once the client is revoked', () => {
    given(created(), revoked('leaked'))
      .when(assign(live('sub-1')))
      .thenRefused('client_revoked');
  });
});

describe('unassigning from a subscription', () => {
  it.each<UnassignmentReason>(['REQUESTED', 'SUBSCRIPTION_ENDED'])('records the reason %s', (reason) => {
    given(created(), assigned('sub-1')).when(unassign('sub-1', reason)).then(unassigned('sub-1', reason));
    expect(active(created(), assigned('sub-1'), unassigned('sub-1', reason)).subscriptions.size).toBe(0);
  });

  it('changes nothing when the client is not assigned', () => {
    given(created()).when(unassign('sub-1')).thenNothing();
    given(created(), assigned('sub-1'), unassigned('sub-1')).when(unassign('sub-1')).thenNothing();
  });

  it('changes nothing once the client is revoked', () => {
    given(created(), assigned('sub-1'), revoked('leaked', 'sub-1')).when(unassign('sub-1')).thenNothing();
  });
});

describe('issuing a static token', () => {
  const first = staticToken('jti-1');

  it('records every header and claim, at the first login', () => {
    given(created('API_KEY')).when(issue(first)).then(issued(first));
    expect(currentStaticToken(active(created('API_KEY'), issued(first)).tokens, 1, undefined, START)).toEqual(first);
  });

  it('changes nothing until the period has ended', () => {
    given(created('API_KEY'), issued(first))
      .when(issue(staticToken('jti-2', { seconds: YEAR - 1 })))
      .thenNothing();
  });

  it('begins a new period when the year is over', () => {
    const next = staticToken('jti-2', { seconds: YEAR });
    given(created('API_KEY'), issued(first)).when(issue(next)).then(issued(next));
    expect(
      currentStaticToken(active(created('API_KEY'), issued(first)).tokens, 1, undefined, after(YEAR)),
    ).toBeUndefined();
    const { tokens } = active(created('API_KEY'), issued(first), issued(next));
    expect(currentStaticToken(tokens, 1, undefined, after(YEAR))).toEqual(next);
    expect(usableStaticToken(tokens, 'jti-1', after(YEAR))).toBeUndefined();
  });

  it('replaces a period that begins in the future, from a wrong clock, by one that begins now', () => {
    const ahead = (seconds: number) => issued(staticToken('jti-1', { seconds }));
    const next = staticToken('jti-2', { seconds: 10 });
    given(created('API_KEY'), ahead(10 + MAX_CLOCK_SKEW_SECONDS))
      .when(issue(next))
      .thenNothing();
    given(created('API_KEY'), ahead(10.001 + MAX_CLOCK_SKEW_SECONDS))
      .when(issue(next))
      .then(issued(next));
    const { tokens } = active(created('API_KEY'), ahead(600), issued(next));
    expect(currentStaticToken(tokens, 1, undefined, after(10))).toEqual(next);
    expect(usableStaticToken(tokens, 'jti-1', after(10))).toBeUndefined();
  });

  it('keeps a replaced token until it is revoked or ended, since the clock may have been behind when it was replaced', () => {
    const good = staticToken('jti-1', { seconds: 3600 });
    const past = [created('API_KEY'), issued(good), issued(staticToken('jti-2'))];
    const usable = (...events: ConsumerClientEvent[]) =>
      ['jti-1', 'jti-2'].filter((jti) => usableStaticToken(active(...past, ...events).tokens, jti, after(7200)));
    expect(usable()).toEqual(['jti-1', 'jti-2']);
    given(...past)
      .when(issue(staticToken('jti-3', { seconds: 7200 })))
      .thenNothing();
    given(...past)
      .when(revokeToken('STATIC_TOKEN', 'jti-1', 7200, YEAR))
      .then(tokenRevoked('STATIC_TOKEN', 'jti-1', 7200, YEAR));
    expect(usable(tokenRevoked('STATIC_TOKEN', 'jti-1', 7200, YEAR))).toEqual(['jti-2']);
    expect(usable(tokensEnded(7202, 7200))).toEqual([]);
    expect(usable(rotated(2, 7200))).toEqual([]);
  });

  it('remembers a bounded number of replaced tokens, and forgets the one that expires first', () => {
    const seconds = [5000, 4000, 3000, 2000, 1000];
    const past = seconds.map((at) => issued(staticToken(`from ${at}`, { seconds: at })));
    expect(active(created('API_KEY'), ...past).tokens.periods.map(({ jti }) => jti)).toEqual([
      'from 5000',
      'from 4000',
      'from 3000',
      'from 1000',
    ]);
    expect(MAX_STATIC_TOKENS).toBe(4);
  });

  it('ended the replaced tokens of its generation and scope, in older versions', () => {
    const ours = staticToken('jti-2', { subscriptionId: 'sub-1' });
    const past = [created('API_KEY'), assigned('sub-1'), issued(staticToken('jti-1', { seconds: 600 })), issued(ours)];
    const next = staticToken('jti-3', { seconds: 10 });
    expect(active(...past, issued(next, 'ENDED')).tokens.periods).toEqual([ours, next]);
    given(...past, issued(next, 'ENDED'))
      .when(revokeToken('STATIC_TOKEN', 'jti-1', 600, YEAR))
      .thenNothing();
  });

  it('has a period for each generation', () => {
    const second = staticToken('jti-2', { generation: 2, seconds: 90 });
    const past = [created('API_KEY'), issued(first), rotated(2, 60, DAY)];
    given(...past)
      .when(issue(second))
      .then(issued(second));
    expect(active(...past, issued(second)).tokens.periods).toEqual([first, second]);
  });

  it('has a period for /login and one for each endpoint', () => {
    const ours = staticToken('jti-2', { subscriptionId: 'sub-1' });
    const past = [created('API_KEY'), assigned('sub-1'), issued(first)];
    given(...past)
      .when(issue(ours))
      .then(issued(ours));
    given(...past, issued(ours))
      .when(issue(staticToken('jti-3', { subscriptionId: 'sub-1' })))
      .thenNothing();
    given(...past, issued(ours))
      .when(issue(staticToken('jti-3')))
      .thenNothing();
  });

  it('keeps the period through an unassignment, for when the client is assigned again', () => {
    const ours = staticToken('jti-1', { subscriptionId: 'sub-1' });
    const past = [created('API_KEY'), assigned('sub-1'), issued(ours), unassigned('sub-1'), assigned('sub-1')];
    given(...past)
      .when(issue(staticToken('jti-2', { subscriptionId: 'sub-1' })))
      .thenNothing();
  });

  it('begins a new period when the key that signed it is compromised', () => {
    const next = { ...staticToken('jti-2', { seconds: 60 }), kid: 'k2' };
    given(created('API_KEY'), issued(first))
      .when(issue(next, ['k1']))
      .then(issued(next));
    given(created('API_KEY'), issued(first))
      .when(issue(next, ['k0']))
      .thenNothing();
    given(created('API_KEY'), issued(first), issued(next))
      .when(issue(staticToken('jti-3', { seconds: 60 }), ['k1']))
      .thenNothing();
  });

  it('begins a new period when the token was revoked', () => {
    const next = staticToken('jti-2', { seconds: 60 });
    given(created('API_KEY'), issued(first), tokenRevoked('STATIC_TOKEN', 'jti-1', 30, YEAR))
      .when(issue(next))
      .then(issued(next));
  });

  it('loses its periods with their generation', () => {
    const past = [created('API_KEY'), issued(first)];
    expect(active(...past, rotated(2, 60)).tokens.periods).toEqual([]);
    expect(active(...past, rotated(2, 60, DAY)).tokens.periods).toEqual([first]);
    expect(active(...past, rotated(2, 60, DAY), credentialRetired(1, 90)).tokens.periods).toEqual([]);
    expect(active(...past, rotated(2, 60, DAY), rotated(3, 90, DAY)).tokens.periods).toEqual([]);
  });

  it('is refused for a generation that is not good', () => {
    given(created('API_KEY'))
      .when(issue(staticToken('jti-1', { generation: 2 })))
      .thenRefused('generation_not_found', 'generation');
    given(created('API_KEY'), rotated(2, 60))
      .when(issue(staticToken('jti-1', { seconds: 60 })))
      .thenRefused('generation_not_found', 'generation');
    given(created('API_KEY'), rotated(2, 60, 10))
      .when(issue(staticToken('jti-1', { seconds: 70 })))
      .thenRefused('generation_not_found', 'generation');
  });

  it('is refused for a subscription that the client is not assigned to', () => {
    given(created('API_KEY'))
      .when(issue(staticToken('jti-1', { subscriptionId: 'sub-1' })))
      .thenRefused('client_not_assigned');
  });

  it('is refused for an OAuth 2 client', () => {
    given(created('OAUTH2')).when(issue(first)).thenRefused('wrong_authentication_type');
  });

  it('is refused once the client is revoked', () => {
    given(created('API_KEY'), revoked('leaked')).when(issue(first)).thenRefused('client_revoked');
  });
});

describe('revoking a token', () => {
  it.each<RevokedTokenKind>(['ACCESS_TOKEN', 'REFRESH_FAMILY'])('records one %s, once', (kind) => {
    given(created())
      .when(revokeToken(kind, 'jti-1', 10))
      .then(tokenRevoked(kind, 'jti-1', 10));
    given(created(), tokenRevoked(kind, 'jti-1', 10))
      .when(revokeToken(kind, 'jti-1', 20))
      .thenNothing();
  });

  it('distinguishes a revoked access token from a refresh family and from other tokens', () => {
    const client = active(created(), tokenRevoked('ACCESS_TOKEN', 'jti-1', 10));
    expect(isTokenRevoked(client.tokens, { kind: 'ACCESS_TOKEN', tokenId: 'jti-1', issuedAt: START })).toBe(true);
    expect(isTokenRevoked(client.tokens, { kind: 'REFRESH_FAMILY', tokenId: 'jti-1', issuedAt: START })).toBe(false);
    expect(isTokenRevoked(client.tokens, { kind: 'ACCESS_TOKEN', tokenId: 'jti-2', issuedAt: START })).toBe(false);
  });

  it('ends the period of the current static token', () => {
    const past = [created('API_KEY'), issued(staticToken('jti-1'))];
    given(...past)
      .when(revokeToken('STATIC_TOKEN', 'jti-1', 60))
      .then(tokenRevoked('STATIC_TOKEN', 'jti-1', 60));
    const client = active(...past, tokenRevoked('STATIC_TOKEN', 'jti-1', 60));
    expect(currentStaticToken(client.tokens, 1, undefined, after(60))).toBeUndefined();
    expect(isTokenRevoked(client.tokens, { kind: 'STATIC_TOKEN', tokenId: 'jti-1', issuedAt: START })).toBe(true);
  });

  it('changes nothing when the static token is not the current one', () => {
    given(created('API_KEY'))
      .when(revokeToken('STATIC_TOKEN', 'jti-1', 60))
      .thenNothing();
    given(created('API_KEY'), issued(staticToken('jti-2')))
      .when(revokeToken('STATIC_TOKEN', 'jti-1', 60))
      .thenNothing();
  });

  it('is recorded even if the token seems to have expired: the clock may be ahead', () => {
    given(created())
      .when(revokeToken('ACCESS_TOKEN', 'jti-1', 60, -600))
      .then(tokenRevoked('ACCESS_TOKEN', 'jti-1', 60, -600));
  });

  it('changes nothing once the client is revoked', () => {
    given(created(), revoked('leaked'))
      .when(revokeToken('ACCESS_TOKEN', 'jti-1', 60))
      .thenNothing();
  });

  it('is remembered even if the token seems to have expired by the time of a later event', () => {
    const past = [created(), tokenRevoked('ACCESS_TOKEN', 'jti-1', 0), tokenRevoked('ACCESS_TOKEN', 'jti-2', DAY)];
    expect(active(...past).tokens.revoked.map(({ tokenId }) => tokenId)).toEqual(['jti-1', 'jti-2']);
  });

  it('is refused beyond 30 in a minute, of all kinds together', () => {
    expect(MAX_TOKEN_REVOCATIONS_PER_MINUTE).toBe(30);
    const kinds: RevokedTokenKind[] = ['ACCESS_TOKEN', 'REFRESH_FAMILY'];
    const thirty = Array.from({ length: 30 }, (_, n) => tokenRevoked(kinds[n % 2] ?? 'ACCESS_TOKEN', `jti-${n}`, n));
    const next = (seconds: number) => revokeToken('ACCESS_TOKEN', 'one-more', seconds);
    given(created(), ...thirty.slice(1))
      .when(next(30))
      .then(tokenRevoked('ACCESS_TOKEN', 'one-more', 30));
    given(created(), ...thirty)
      .when(next(59.999))
      .thenRefused('too_many_token_revocations');
    given(created(), ...thirty)
      .when(next(60))
      .then(tokenRevoked('ACCESS_TOKEN', 'one-more', 60));
    given(created(), ...thirty)
      .when(revokeToken('ACCESS_TOKEN', 'jti-0', 30))
      .thenNothing();
  });

  it('does not count the revocations that a wrong clock dated more than 5 s too late', () => {
    const thirty = (seconds: number) =>
      Array.from({ length: 30 }, (_, n) => tokenRevoked('ACCESS_TOKEN', `jti-${n}`, seconds));
    const next = revokeToken('ACCESS_TOKEN', 'one-more', 10);
    given(created(), ...thirty(10 + MAX_CLOCK_SKEW_SECONDS))
      .when(next)
      .thenRefused('too_many_token_revocations');
    const ahead = thirty(10.001 + MAX_CLOCK_SKEW_SECONDS);
    given(created(), ...ahead)
      .when(next)
      .then(tokenRevoked('ACCESS_TOKEN', 'one-more', 10));
    const { recentRevocations } = active(created(), ...ahead, tokenRevoked('ACCESS_TOKEN', 'one-more', 10)).tokens;
    expect(recentRevocations).toEqual([after(10)]);
  });

  describe('past 1000', () => {
    const thousand = Array.from({ length: 1000 }, (_, n) => tokenRevoked('REFRESH_FAMILY', `f-${n}`, 2 * n, DAY));
    const last = tokenRevoked('REFRESH_FAMILY', 'f-1000', 2000, DAY);
    const epochAfterRevocations = (count: number) => active(created(), ...thousand.slice(0, count)).tokens.epoch;

    it('remembers each of them up to that number, and refuses no other token', () => {
      expect(MAX_REMEMBERED_REVOCATIONS).toBe(1000);
      const { tokens } = active(created(), ...thousand);
      expect(tokens.revoked).toHaveLength(1000);
      expect(isTokenRevoked(tokens, { kind: 'ACCESS_TOKEN', tokenId: 'any', issuedAt: START, epoch: 0 })).toBe(false);
      expect(isTokenRevoked(tokens, { kind: 'ACCESS_TOKEN', tokenId: 'any', issuedAt: START })).toBe(false);
    });

    it('begins a new epoch after 500', () => {
      expect(epochAfterRevocations(500)).toBe(0);
      expect(epochAfterRevocations(501)).toBeGreaterThan(0);
      expect(epochAfterRevocations(1000)).toBe(epochAfterRevocations(501));
    });

    it('forgets the first 500, and refuses every token of their epoch instead, whatever time it carries', () => {
      const { tokens } = active(created(), ...thousand, last);
      expect(tokens.revoked.map(({ tokenId }) => tokenId)).toEqual(
        Array.from({ length: 501 }, (_, n) => `f-${n + 500}`),
      );
      const kinds = ['ACCESS_TOKEN', 'REFRESH_FAMILY'] as const;
      const verdicts = (issuedAt: string, epoch: number) =>
        kinds.map((kind) => isTokenRevoked(tokens, { kind, tokenId: 'any', issuedAt, epoch }));
      for (const issuedAt of [after(-DAY), after(990), after(5000), after(YEAR)]) {
        expect(verdicts(issuedAt, 0)).toEqual([true, true]);
        expect(verdicts(issuedAt, epochAfterRevocations(501))).toEqual([false, false]);
        expect(verdicts(issuedAt, tokens.epoch)).toEqual([false, false]);
      }
    });

    it('counts a token of an older version, which has no epoch, as one of the first epoch', () => {
      const { tokens } = active(created(), ...thousand, last);
      expect(isTokenRevoked(tokens, { kind: 'ACCESS_TOKEN', tokenId: 'any', issuedAt: after(5000) })).toBe(true);
    });

    it('revokes a family of which one token is refused already: another may carry a later epoch', () => {
      const revokeFamily = { ...revokeToken('REFRESH_FAMILY', 'kept', 3000, DAY), epoch: 0 };
      const past = [created(), ...thousand, last];
      given(...past)
        .when(revokeFamily)
        .then(tokenRevoked('REFRESH_FAMILY', 'kept', 3000, DAY));
      given(...past, tokenRevoked('REFRESH_FAMILY', 'kept', 3000, DAY))
        .when(revokeFamily)
        .thenNothing();
    });

    it('appends nothing for a token that is refused already, but does for others', () => {
      const past = [created(), ...thousand, last];
      given(...past)
        .when({ ...revokeToken('ACCESS_TOKEN', 'old', 3000), epoch: 0 })
        .thenNothing();
      given(...past)
        .when({ ...revokeToken('ACCESS_TOKEN', 'new', 3000), epoch: active(...past).tokens.epoch })
        .then(tokenRevoked('ACCESS_TOKEN', 'new', 3000));
    });
  });
});

describe('ending tokens', () => {
  const kinds = ['ACCESS_TOKEN', 'REFRESH_FAMILY'] as const;
  const { epoch: first } = active(created()).tokens;
  const isRefused = (past: ConsumerClientEvent[], issuedAt: string, epoch = first) =>
    kinds.map((kind) => isTokenRevoked(active(...past).tokens, { kind, tokenId: 'unknown', issuedAt, epoch }));
  const epochOf = (...past: ConsumerClientEvent[]) => active(...past).tokens.epoch;

  describe('of all times', () => {
    const past = [created(), tokensEnded(14, 12)];

    it('is recorded, however often: only the log knows that no token was issued in between', () => {
      given(created()).when(endAllTokens(12)).then(tokensEnded(14, 12));
      given(...past)
        .when(endAllTokens(12))
        .then(tokensEnded(14, 12));
    });

    it('refuses every token that was issued before, whatever time it carries', () => {
      for (const issuedAt of [after(-YEAR), after(11), after(600), after(YEAR)]) {
        expect(isRefused(past, issuedAt)).toEqual([true, true]);
      }
    });

    it('refuses no token that is issued afterwards, whatever time it carries', () => {
      for (const issuedAt of [after(-YEAR), after(11), after(600), after(YEAR)]) {
        expect(isRefused(past, issuedAt, epochOf(...past))).toEqual([false, false]);
      }
    });

    it('refuses every token of an older version, which has no epoch, whatever time it carries', () => {
      for (const issuedAt of [after(-YEAR), after(14), after(600)]) {
        const verdicts = kinds.map((kind) =>
          isTokenRevoked(active(...past).tokens, { kind, tokenId: 'old', issuedAt }),
        );
        expect(verdicts).toEqual([true, true]);
      }
    });

    it('is what a moment that is not in the past means, too', () => {
      given(created()).when(endTokens(1000, 12)).then(tokensEnded(14, 12));
      given(created()).when(endTokens(12, 12)).then(tokensEnded(14, 12));
    });

    it('ends all static tokens, also those from a clock that was ahead', () => {
      for (const seconds of [0, 600]) {
        const issuedBefore = [created('API_KEY'), issued(staticToken('jti-1', { seconds }))];
        given(...issuedBefore)
          .when(endAllTokens(12))
          .then(tokensEnded(14, 12));
        expect(active(...issuedBefore, tokensEnded(14, 12)).tokens.periods).toEqual([]);
      }
    });

    it('has an epoch that is later than those of a log that was lost, if the clock is right', () => {
      const lost = [created(), tokensEnded(14, 12)];
      const restored = [created(), tokensEnded(102, 100)];
      expect(isRefused(restored, after(20), epochOf(...lost))).toEqual([true, true]);
    });
  });

  describe('up to a moment', () => {
    const past = [created(), tokensEnded(102, 200)];

    it('is recorded with a margin for clocks that differ by a second', () => {
      given(created()).when(endTokens(100, 200)).then(tokensEnded(102, 200));
    });

    it('refuses the tokens that were issued up to it, and spares later ones', () => {
      expect(isRefused(past, after(-YEAR))).toEqual([true, true]);
      expect(isRefused(past, after(102))).toEqual([true, true]);
      expect(isRefused(past, after(102.001))).toEqual([false, false]);
      expect(isRefused(past, after(200 + MAX_CLOCK_SKEW_SECONDS))).toEqual([false, false]);
    });

    it('counts tokens from the future as issued before', () => {
      expect(isRefused(past, after(200.001 + MAX_CLOCK_SKEW_SECONDS))).toEqual([true, true]);
      expect(isRefused(past, after(YEAR))).toEqual([true, true]);
    });

    it('refuses no token that is issued afterwards, whatever time it carries', () => {
      for (const issuedAt of [after(-YEAR), after(100), after(600)]) {
        expect(isRefused(past, issuedAt, epochOf(...past))).toEqual([false, false]);
      }
    });

    it('ends the static tokens that it covers', () => {
      const periodsAfterEnd = (seconds: number) =>
        active(created('API_KEY'), issued(staticToken('jti-1', { seconds })), tokensEnded(102, 200)).tokens.periods;
      expect(periodsAfterEnd(102)).toEqual([]);
      expect(periodsAfterEnd(103)).toHaveLength(1);
      expect(periodsAfterEnd(600)).toEqual([]);
    });

    it(`is remembered up to ${MAX_PARTIAL_ENDS} times; then the oldest spares no token`, () => {
      const ends = Array.from({ length: MAX_PARTIAL_ENDS + 1 }, (_, n) => tokensEnded(102, 200 + n));
      const [most, all] = [
        [created(), ...ends.slice(1)],
        [created(), ...ends],
      ];
      expect(isRefused(most, after(150))).toEqual([false, false]);
      expect(isRefused(all, after(150))).toEqual([true, true]);
      expect(isRefused(all, after(150), epochOf(created(), ...ends.slice(0, 1)))).toEqual([false, false]);
      expect(active(...all).tokens.partialEnds).toHaveLength(MAX_PARTIAL_ENDS);
    });
  });

  it('changes nothing if a client of static tokens has none, and after the revocation', () => {
    given(created('API_KEY')).when(endAllTokens(12)).thenNothing();
    given(created('API_KEY'), issued(staticToken('jti-1')), tokensEnded(14, 12))
      .when(endAllTokens(20))
      .thenNothing();
    given(created(), revoked('leaked')).when(endAllTokens(12)).thenNothing();
  });
});

describe('revoking a client', () => {
  it('records the reason and every subscription that it leaves', () => {
    given(created()).when(revoke('leaked')).then(revoked('leaked'));
    given(created(), assigned('sub-1'), assigned('sub-2'), unassigned('sub-1'), assigned('sub-3'))
      .when(revoke(' leaked '))
      .then(revoked('leaked', 'sub-2', 'sub-3'));
  });

  it('happens once', () => {
    given(created(), revoked('leaked')).when(revoke('again')).thenNothing();
  });

  it.each(['', ' ', 'x'.repeat(501), 'a\u0007b', '\ud800'])('is refused with the reason %j', (reason) => {
    given(created()).when(revoke(reason)).thenRefused('invalid_reason', 'reason');
  });

  it('keeps the client’s identity and the reason, and no credential', () => {
    expect(fold(consumerClient, [created(), rotated(2, 60, DAY), renamed('Invoices'), revoked('leaked')])).toEqual({
      status: 'REVOKED',
      ...IDENTITY,
      name: 'Invoices',
      authenticationType: 'OAUTH2',
      createdAt: START,
      reason: 'leaked',
      revokedAt: START,
      newestGeneration: 2,
    });
  });
});

describe('a client that does not exist, or belongs to another workspace, is not found', () => {
  const commands = [
    rename('Invoices'),
    rotate(2, 60),
    retire(1, 60),
    assign(live('sub-1')),
    unassign('sub-1'),
    revoke('leaked'),
  ];

  it.each(commands)('by $type', (command) => {
    const foreign = { ...command, workspaceId: 'globex' };
    given().when(command).thenRefused('client_not_found');
    given(created()).when(foreign).thenRefused('client_not_found');
    given(created(), revoked('leaked')).when(foreign).thenRefused('client_not_found');
  });

  // Every command that names no workspace must be listed here; otherwise this file does not compile.
  type WithoutWorkspace = Exclude<ConsumerClientCommand, { workspaceId: string }>['type'];
  const systemCommands: Record<WithoutWorkspace, ConsumerClientCommand> = {
    IssueStaticToken: issue(staticToken('jti-1')),
    RevokeToken: revokeToken('ACCESS_TOKEN', 'jti-1', 60),
    EndTokens: endAllTokens(12),
  };

  it.each(Object.values(systemCommands))('by $type', (command) => {
    given().when(command).thenRefused('client_not_found');
  });

  it('by a workspace command without its workspace; the compiler refuses that, too', () => {
    // @ts-expect-error RenameClient lacks its workspaceId
    given(created()).when({ type: 'DescribeClient', name: 'Invoices', at: START }).thenRefused('client_not_found');
  });
});

it.each<[string, ConsumerClientEvent[]]>([
  ['a beginning other than its creation', [renamed('Invoices')]],
  ['a second creation', [created(), created()]],
  ['an event after its revocation', [created(), revoked('leaked'), renamed('Invoices')]],
  ['a creation after its revocation', [created(), revoked('leaked'), created()]],
])('fails loudly on a stream with %s', (_what, events) => {
  expect(() => fold(consumerClient, events)).toThrow('in the stream of a client that is');
});
