import {
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type ConsumerClientState,
  type DomainErrorCode,
  goodCredentials,
  type Instant,
  isTokenRevoked,
  MAX_CLOCK_SKEW_SECONDS,
  momentOfIssue,
  type RevokeToken,
  secondsAfter,
} from '#domain';
import fc from 'fast-check';
import { history, play, type Wish } from '../../../test/support/play.js';

const START = '2026-03-01T08:00:00.000Z';
const CLIENT = { clientId: 'cc_0123456789abcdef', workspaceId: 'acme' } as const;
const YEAR = 31_536_000;

type ClientWish = Wish<ConsumerClientCommand>;
type Created = Extract<ConsumerClientEvent, { type: 'ConsumerClientCreated' }>;

const authenticationType = fc.constantFrom('API_KEY', 'OAUTH2');
/** Now and then a stranger's. */
const workspaceId = fc.oneof(
  { weight: 20, arbitrary: fc.constant('acme') },
  { weight: 1, arbitrary: fc.constant('globex') },
);
const subscriptionId = fc.constantFrom('sub-0', 'sub-1', 'sub-2');
const text = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('Billing', ' Invoices ', '', 'x'.repeat(101), 'a\u0000b', '\ud800') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 110, size: 'max' }) },
);
const reason = fc.constantFrom('leaked', ' ', 'x'.repeat(501));

const create = fc
  .record({ name: text, authenticationType, draftId: fc.constantFrom('draft-1', undefined) })
  .map<ClientWish>(({ draftId, ...rest }) => (at) => ({
    type: 'CreateClient',
    ...CLIENT,
    ...rest,
    ...(draftId === undefined ? {} : { draftId }),
    verifier: 'verifier 1',
    at,
  }));
const rename = fc
  .record({ workspaceId, name: text })
  .map<ClientWish>((wish) => (at) => ({ type: 'RenameClient', ...wish, at }));
const rotate = fc
  .record(
    {
      workspaceId,
      overlapSeconds: fc.oneof(fc.constantFrom(0, 604_800, 604_801, -1, 0.5), fc.integer({ min: 0, max: 604_800 })),
      draft: fc.record({ draftId: fc.constant('draft-2'), generation: fc.integer({ min: 2, max: 4 }) }),
    },
    { requiredKeys: ['workspaceId'] },
  )
  .map<ClientWish>((wish) => (at, index) => ({ type: 'RotateSecret', ...wish, verifier: `verifier ${index}`, at }));
const retire = fc
  .record({ workspaceId, generation: fc.integer({ min: 0, max: 5 }) })
  .map<ClientWish>((wish) => (at) => ({ type: 'RetireCredential', ...wish, at }));
const assign = fc
  .record({ workspaceId, subscriptionId, owner: workspaceId, status: fc.constantFrom('LIVE', 'LIVE', 'LIVE', 'ENDED') })
  .map<ClientWish>((wish) => (at) => {
    const values = { endpointUri: `${wish.subscriptionId}-uri`, serviceName: 'Weather', registeredAt: START };
    const registered = { subscriptionId: wish.subscriptionId, workspaceId: wish.owner, ...values };
    return {
      type: 'AssignToSubscription',
      workspaceId: wish.workspaceId,
      subscription:
        wish.status === 'LIVE'
          ? { status: 'LIVE', ...registered }
          : { status: 'ENDED', ...registered, endedAt: at, reason: 'over' },
      at,
    };
  });
const unassign = fc
  .record({ workspaceId, subscriptionId, reason: fc.constantFrom('REQUESTED', 'SUBSCRIPTION_ENDED') })
  .map<ClientWish>((wish) => (at) => ({ type: 'UnassignFromSubscription', ...wish, at }));
const issueStaticToken = fc
  .record({
    generation: fc.integer({ min: 1, max: 3 }),
    scope: fc.option(subscriptionId),
    key: fc.integer({ min: 0, max: 2 }),
    olderKeysAreCompromised: fc.boolean(),
  })
  .map<ClientWish>(({ generation, scope, key, olderKeysAreCompromised }) => (at, index) => ({
    type: 'IssueStaticToken',
    token: {
      generation,
      ...(scope === null ? {} : { subscriptionId: scope }),
      jti: `jti-${index}`,
      kid: `k${key}`,
      issuedAt: at,
      expiresAt: secondsAfter(at, YEAR),
      header: { kid: `k${key}` },
      claims: { jti: `jti-${index}` },
    },
    compromisedKids: olderKeysAreCompromised ? ['k0', 'k1'].slice(0, key) : [],
    at,
  }));
const revokeStaticToken = fc.nat({ max: 40 }).map<ClientWish>((back) => (at, index) => ({
  type: 'RevokeToken',
  kind: 'STATIC_TOKEN',
  tokenId: `jti-${Math.max(0, index - back)}`,
  issuedAt: START,
  expiresAt: secondsAfter(at, YEAR),
  at,
}));
/** Of any age, also from a node whose clock is ahead of ours. */
const revokeOtherToken = fc
  .record({
    kind: fc.constantFrom('ACCESS_TOKEN', 'REFRESH_FAMILY'),
    age: fc.integer({ min: -5, max: 400 }),
    lifetime: fc.constantFrom(300, 86_400),
  })
  .map<Wish<RevokeToken>>(({ kind, age, lifetime }) => (at, index) => ({
    type: 'RevokeToken',
    kind,
    tokenId: `token-${index}`,
    issuedAt: secondsAfter(at, -age),
    expiresAt: secondsAfter(at, lifetime - age),
    at,
  }));
/** Also of a moment that is still to come. */
const endTokens = fc.integer({ min: -60, max: 4000 }).map<ClientWish>((age) => (at) => ({
  type: 'EndTokens',
  issuedBefore: secondsAfter(at, -age),
  at,
}));
const revoke = fc
  .record({ workspaceId, reason })
  .map<ClientWish>((wish) => (at) => ({ type: 'RevokeClient', ...wish, at }));

/** All that may happen to a client, but its end. */
const anyWishButRevoke = fc.oneof(
  { weight: 1, arbitrary: create },
  { weight: 2, arbitrary: rename },
  { weight: 4, arbitrary: rotate },
  { weight: 3, arbitrary: retire },
  { weight: 4, arbitrary: assign },
  { weight: 3, arbitrary: unassign },
  { weight: 5, arbitrary: issueStaticToken },
  { weight: 2, arbitrary: revokeStaticToken },
  { weight: 3, arbitrary: revokeOtherToken },
  { weight: 2, arbitrary: endTokens },
);
const anyWish = fc.oneof({ weight: 30, arbitrary: anyWishButRevoke }, { weight: 1, arbitrary: revoke });

const created = authenticationType.map<Created>((type) => ({
  type: 'ConsumerClientCreated',
  data: { ...CLIENT, name: 'Billing', authenticationType: type, verifier: 'verifier 1', createdAt: START },
}));
const wholeLife = fc.tuple(created, history(START, anyWish, { maxLength: 60 }));

const eventsOf = (past: readonly ConsumerClientEvent[], commands: readonly ConsumerClientCommand[]) =>
  play(consumerClient, past, commands).flatMap(({ events }) => events);

/** What may never be, whatever was decided. `at`: the moment of the last command. */
const expectPossible = (state: ConsumerClientState, { data: birth }: Created, at: string) => {
  if (state.status === 'NONE') throw new Error('A client was lost');
  const { clientId, workspaceId, authenticationType, createdAt } = state;
  expect(birth).toMatchObject({ clientId, workspaceId, authenticationType, createdAt });
  expect(state.name).toBe(state.name.trim());
  expect(state.name).toMatch(/^[^\p{Cc}\p{Cs}]{1,100}$/u);
  if (state.status === 'REVOKED') return;

  const generations = state.credentials.map(({ generation }) => generation);
  const newest = state.credentials.at(-1);
  expect([1, 2]).toContain(generations.length);
  expect(new Set(generations).size).toBe(generations.length);
  expect(newest).toMatchObject({ generation: Math.max(...generations) });
  expect(state.credentials.filter(({ expiresAt }) => expiresAt === undefined)).toEqual([newest]);
  expect(goodCredentials(state, at)).toContain(newest);

  expect(state.subscriptions.size).toBeLessThanOrEqual(1000);
  for (const [id, assignment] of state.subscriptions) expect(assignment.subscriptionId).toBe(id);

  if (authenticationType === 'OAUTH2') expect(state.staticTokens).toEqual([]);
  for (const { generation } of state.staticTokens) expect(generations).toContain(generation);
  const scopes = state.staticTokens.map(({ generation, subscriptionId }) => `${generation} ${subscriptionId ?? ''}`);
  expect(new Set(scopes).size).toBe(scopes.length);

  const revokedTokens = state.revokedTokens.map(({ kind, tokenId }) => `${kind} ${tokenId}`);
  expect(new Set(revokedTokens).size).toBe(revokedTokens.length);
  expect(revokedTokens.length).toBeLessThanOrEqual(1000);
  expect(state.recentTokenRevocations.length).toBeLessThanOrEqual(30);
};

it('plays histories that reach every event and every refusal', () => {
  const steps = fc
    .sample(wholeLife, { numRuns: 400, seed: 1 })
    .flatMap(([birth, commands]) => play(consumerClient, [birth], commands));
  const types = steps.flatMap(({ events }) => events.map(({ type }) => type));
  const refusals = steps.flatMap(({ refusal }) => (refusal ? [refusal.code] : []));
  expect(new Set(types)).toEqual(
    new Set<ConsumerClientEvent['type']>([
      'ConsumerClientRenamed',
      'ConsumerClientSecretRotated',
      'ConsumerClientCredentialRetired',
      'ConsumerClientAssignedToSubscription',
      'ConsumerClientUnassignedFromSubscription',
      'ConsumerClientStaticTokenIssued',
      'ConsumerClientTokenRevoked',
      'ConsumerClientTokensEnded',
      'ConsumerClientRevoked',
    ]),
  );
  // The limits on numbers (1000 subscriptions, 30 revocations a minute) have histories of their own below.
  expect(new Set(refusals)).toEqual(
    new Set<DomainErrorCode>([
      'client_exists',
      'client_not_assigned',
      'client_not_found',
      'client_revoked',
      'draft_stale',
      'generation_is_newest',
      'generation_not_found',
      'invalid_name',
      'invalid_overlap',
      'invalid_reason',
      'subscription_ended',
      'subscription_not_found',
      'wrong_authentication_type',
    ]),
  );
});

it('never folds to an impossible state', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      for (const { command, after } of play(consumerClient, [birth], commands))
        expectPossible(after, birth, command.at);
    }),
  );
});

it('begins with a creation, from a name that may be', () => {
  fc.assert(
    fc.property(history(START, fc.oneof(create, anyWish), { maxLength: 20 }), (commands) => {
      const [birth, ...rest] = eventsOf([], commands);
      if (birth === undefined) return;
      if (birth.type !== 'ConsumerClientCreated') throw new Error(`Begins with ${birth.type}`);
      expect(rest.map(({ type }) => type)).not.toContain('ConsumerClientCreated');
      expectPossible(
        rest.reduce(consumerClient.evolve, consumerClient.evolve(consumerClient.initial, birth)),
        birth,
        START,
      );
    }),
  );
});

it('never has an event after its revocation', () => {
  const endedLife = fc.tuple(
    created,
    history(START, anyWishButRevoke, { maxLength: 20 }),
    history(START, fc.oneof(anyWishButRevoke, revoke), { minLength: 1, maxLength: 20 }),
  );
  fc.assert(
    fc.property(endedLife, ([birth, before, afterwards]) => {
      const end = { type: 'RevokeClient', workspaceId: 'acme', reason: 'leaked', at: START } as const;
      const [revocation, ...later] = play(consumerClient, [birth], [...before, end, ...afterwards]).slice(
        before.length,
      );
      expect(revocation?.events.map(({ type }) => type)).toEqual(['ConsumerClientRevoked']);
      for (const step of later) {
        expect(step.events).toEqual([]);
        expect(step.after).toBe(revocation?.after);
      }
    }),
  );
});

it('never gives a generation twice, and each is one more than the last', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      const generations = eventsOf([birth], commands).flatMap((event) =>
        event.type === 'ConsumerClientSecretRotated' ? [event.data.generation] : [],
      );
      expect(generations).toEqual(generations.map((_, index) => index + 2));
    }),
  );
});

it('has a generation good up to its end and never after it', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      const ends: Instant[] = []; // of generation 1, 2, …; the newest has none
      for (const { command, events, after } of play(consumerClient, [birth], commands)) {
        for (const event of events) {
          if (event.type === 'ConsumerClientSecretRotated') {
            const { rotatedAt, previousExpiresAt } = event.data;
            ends.forEach((end, index) => (ends[index] = end < rotatedAt ? end : rotatedAt));
            ends.push(previousExpiresAt);
          }
          if (event.type === 'ConsumerClientCredentialRetired') ends[event.data.generation - 1] = event.data.retiredAt;
        }
        if (after.status !== 'ACTIVE') return;
        const good = [...ends.keys()].filter((index) => command.at < (ends[index] ?? '')).map((index) => index + 1);
        expect(goodCredentials(after, command.at).map(({ generation }) => generation)).toEqual([
          ...good,
          ends.length + 1,
        ]);
      }
    }),
  );
});

it('decides nothing when a wish that is a state is repeated', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      for (const { command, refusal, after } of play(consumerClient, [birth], commands)) {
        if (refusal === undefined && command.type !== 'RotateSecret') {
          expect(consumerClient.decide(after, command)).toEqual([]);
        }
      }
    }),
  );
});

it('gives the same static token for a generation and a scope until its period ends', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      for (const { command, before, events } of play(consumerClient, [birth], commands)) {
        if (command.type !== 'IssueStaticToken' || events.length === 0 || before.status !== 'ACTIVE') continue;
        const { generation, subscriptionId } = command.token;
        const replaced = before.staticTokens.find(
          (p) => p.generation === generation && p.subscriptionId === subscriptionId,
        );
        expect(!replaced || replaced.expiresAt <= command.at || command.compromisedKids.includes(replaced.kid)).toBe(
          true,
        );
      }
    }),
  );
});

it('refuses what was issued before its tokens were ended, for ever, and nothing that is issued from then on', () => {
  fc.assert(
    fc.property(wholeLife, fc.integer({ min: 0, max: 5000 }), ([birth, commands], age) => {
      const ends: Instant[] = [];
      for (const { command, after } of play(consumerClient, [birth], commands)) {
        const { at } = command;
        if (command.type === 'EndTokens') ends.push(command.issuedBefore < at ? command.issuedBefore : at);
        if (after.status !== 'ACTIVE' || ends.length === 0) continue;
        const lastEnd = ends.toSorted().at(-1) ?? '';
        const issuedAt = secondsAfter(lastEnd, -age);
        if (after.authenticationType === 'OAUTH2' && birth.data.createdAt <= issuedAt) {
          expect(isTokenRevoked(after, { kind: 'ACCESS_TOKEN', tokenId: 'any', issuedAt })).toBe(true);
        }
        const issuedNow = { issuedAt: momentOfIssue(after, at).slice(0, 19) + '.000Z', tokenId: 'new' };
        expect(isTokenRevoked(after, { kind: 'ACCESS_TOKEN', ...issuedNow })).toBe(false);
        expect(momentOfIssue(after, at) <= secondsAfter(at, MAX_CLOCK_SKEW_SECONDS)).toBe(true);
      }
    }),
  );
});

it('never has more than 1000 subscriptions', () => {
  const assignments = Array.from({ length: 998 }, (_, n): ConsumerClientEvent => ({
    type: 'ConsumerClientAssignedToSubscription',
    data: { subscriptionId: `old-${n}`, endpointUri: `old-${n}`, serviceName: 'Old', assignedAt: START },
  }));
  fc.assert(
    fc.property(created, history(START, fc.oneof(assign, unassign), { maxLength: 15 }), (birth, commands) => {
      for (const { after } of play(consumerClient, [birth, ...assignments], commands)) {
        if (after.status === 'ACTIVE') expect(after.subscriptions.size).toBeLessThanOrEqual(1000);
      }
    }),
    { numRuns: 30 },
  );
});

describe('a client whose tokens are revoked in numbers', () => {
  const burst = history(START, revokeOtherToken, { maxLength: 80 }, fc.integer({ min: 0, max: 4 }));

  it('never has more than 30 revocations within a minute', () => {
    fc.assert(
      fc.property(created, burst, (birth, commands) => {
        const moments = eventsOf([birth], commands).flatMap((event) =>
          event.type === 'ConsumerClientTokenRevoked' ? [event.data.revokedAt] : [],
        );
        expect(moments).toEqual([...moments].sort());
        moments.slice(30).forEach((moment, index) => {
          expect(secondsAfter(moments[index] ?? '', 60) <= moment).toBe(true);
        });
      }),
    );
  });

  it('refuses a revoked token until it would have expired anyway, also past 1000 live ones', () => {
    const remembered = Array.from({ length: 995 }, (_, n): ConsumerClientEvent => ({
      type: 'ConsumerClientTokenRevoked',
      data: {
        kind: 'REFRESH_FAMILY',
        tokenId: `old-${n}`,
        issuedAt: secondsAfter(START, -7200),
        revokedAt: secondsAfter(START, -3600 + 3 * n),
        expiresAt: secondsAfter(START, 86_400),
      },
    }));
    fc.assert(
      fc.property(created, burst, (birth, commands) => {
        const revoked: RevokeToken[] = [];
        for (const { command, refusal, after } of play(consumerClient, [birth, ...remembered], commands)) {
          if (after.status !== 'ACTIVE') throw new Error('A client was lost');
          if (refusal === undefined) revoked.push(command);
          const live = revoked.filter(({ expiresAt }) => command.at < expiresAt);
          expect(live.filter((token) => !isTokenRevoked(after, token))).toEqual([]);
        }
      }),
    );
  });
});
