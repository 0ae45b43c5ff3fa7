import fc from 'fast-check';
import {
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type ConsumerClientState,
  goodCredentials,
  type Instant,
  MAX_PARTIAL_ENDS,
  MAX_STATIC_TOKENS,
  secondsAfter,
} from '#domain';
import { anyClockChange, type CommandAt, history, play } from '../../test/support/events/play.js';

const START = '2026-03-01T08:00:00.000Z';
const CLIENT = { clientId: 'cc_0123456789abcdef', workspaceId: 'acme' } as const;
const YEAR = 31_536_000;

type ClientCommandAt = CommandAt<ConsumerClientCommand>;
type RevokeToken = Extract<ConsumerClientCommand, { type: 'RevokeToken' }>;
type Created = Extract<ConsumerClientEvent, { type: 'ConsumerClientCreated' }>;

const authenticationType = fc.constantFrom('API_KEY', 'OAUTH2');
/** Now and then, this is the workspace of a stranger. */
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
  .map<ClientCommandAt>(({ draftId, ...rest }) => (at) => ({
    type: 'CreateClient',
    ...CLIENT,
    ...rest,
    ...(draftId === undefined ? {} : { draftId }),
    verifier: 'verifier 1',
    at,
  }));
const rename = fc
  .record({ workspaceId, name: text })
  .map<ClientCommandAt>((fields) => (at) => ({ type: 'RenameClient', ...fields, at }));
const rotate = fc
  .record(
    {
      workspaceId,
      overlapSeconds: fc.oneof(fc.constantFrom(0, 604_800, 604_801, -1, 0.5), fc.integer({ min: 0, max: 604_800 })),
      draft: fc.record({ draftId: fc.constant('draft-2'), generation: fc.integer({ min: 2, max: 4 }) }),
    },
    { requiredKeys: ['workspaceId'] },
  )
  .map<ClientCommandAt>((fields) => (at, index) => ({
    type: 'RotateSecret',
    ...fields,
    verifier: `verifier ${index}`,
    at,
  }));
const retire = fc
  .record({ workspaceId, generation: fc.integer({ min: 0, max: 5 }) })
  .map<ClientCommandAt>((fields) => (at) => ({ type: 'RetireCredential', ...fields, at }));
const assign = fc
  .record({ workspaceId, subscriptionId, owner: workspaceId, status: fc.constantFrom('LIVE', 'LIVE', 'LIVE', 'ENDED') })
  .map<ClientCommandAt>((fields) => (at) => {
    const values = { endpointUri: `${fields.subscriptionId}-uri`, serviceName: 'Weather', registeredAt: START };
    const registered = { subscriptionId: fields.subscriptionId, workspaceId: fields.owner, ...values };
    return {
      type: 'AssignToSubscription',
      workspaceId: fields.workspaceId,
      subscription:
        fields.status === 'LIVE'
          ? { status: 'LIVE', ...registered }
          : { status: 'ENDED', ...registered, endedAt: at, reason: 'over' },
      at,
    };
  });
const unassign = fc
  .record({ workspaceId, subscriptionId, reason: fc.constantFrom('REQUESTED', 'SUBSCRIPTION_ENDED') })
  .map<ClientCommandAt>((fields) => (at) => ({ type: 'UnassignFromSubscription', ...fields, at }));
const issueStaticToken = fc
  .record({
    generation: fc.integer({ min: 1, max: 3 }),
    scope: fc.option(subscriptionId),
    key: fc.integer({ min: 0, max: 2 }),
    olderKeysAreCompromised: fc.boolean(),
  })
  .map<ClientCommandAt>(({ generation, scope, key, olderKeysAreCompromised }) => (at, index) => ({
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
const revokeStaticToken = fc.nat({ max: 40 }).map<ClientCommandAt>((back) => (at, index) => ({
  type: 'RevokeToken',
  kind: 'STATIC_TOKEN',
  tokenId: `jti-${Math.max(0, index - back)}`,
  issuedAt: START,
  expiresAt: secondsAfter(at, YEAR),
  at,
}));
/** Revokes a token of any age. Sometimes the clock of the node that issued the token is ahead of ours. */
const revokeOtherToken = fc
  .record({
    kind: fc.constantFrom('ACCESS_TOKEN', 'REFRESH_FAMILY'),
    age: fc.integer({ min: -5, max: 400 }),
    lifetime: fc.constantFrom(300, 86_400),
  })
  .map<CommandAt<RevokeToken>>(({ kind, age, lifetime }) => (at, index) => ({
    type: 'RevokeToken',
    kind,
    tokenId: `token-${index}`,
    issuedAt: secondsAfter(at, -age),
    expiresAt: secondsAfter(at, lifetime - age),
    at,
  }));
/** Ends all tokens, or those that were issued up to a moment. The moment may be in the future. */
const endTokens = fc.option(fc.integer({ min: -60, max: 4000 })).map<ClientCommandAt>((age) => (at) => ({
  type: 'EndTokens',
  ...(age === null ? {} : { issuedBefore: secondsAfter(at, -age) }),
  at,
}));
const revoke = fc
  .record({ workspaceId, reason })
  .map<ClientCommandAt>((fields) => (at) => ({ type: 'RevokeClient', ...fields, at }));

/** Any command on a client, except `RevokeClient`. */
const anyCommandButRevoke = fc.oneof(
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
const anyCommand = fc.oneof({ weight: 30, arbitrary: anyCommandButRevoke }, { weight: 1, arbitrary: revoke });

const created = authenticationType.map<Created>((type) => ({
  type: 'ConsumerClientCreated',
  data: { ...CLIENT, name: 'Billing', authenticationType: type, verifier: 'verifier 1', createdAt: START },
}));
const wholeLife = fc.tuple(created, history(START, anyCommand, { maxLength: 60 }));

const eventsOf = (past: readonly ConsumerClientEvent[], commands: readonly ConsumerClientCommand[]) =>
  play(consumerClient, past, commands).flatMap(({ events }) => events);

/** Checks invariants that no decision may break. `at`: the time of the last command. */
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

  if (authenticationType === 'OAUTH2') expect(state.tokens.periods).toEqual([]);
  for (const { generation } of state.tokens.periods) expect(generations).toContain(generation);
  const scopes = state.tokens.periods.map(({ generation, subscriptionId }) => `${generation} ${subscriptionId ?? ''}`);
  for (const scope of scopes) {
    expect(scopes.filter((other) => other === scope).length).toBeLessThanOrEqual(MAX_STATIC_TOKENS);
  }

  const revokedTokens = state.tokens.revoked.map(({ kind, tokenId }) => `${kind} ${tokenId}`);
  expect(new Set(revokedTokens).size).toBe(revokedTokens.length);
  expect(revokedTokens.length).toBeLessThanOrEqual(1000);
  expect(state.tokens.recentRevocations.length).toBeLessThanOrEqual(30);
  expect(state.tokens.partialEnds.length).toBeLessThanOrEqual(MAX_PARTIAL_ENDS);
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
  // Refusals for the limits on numbers (1000 subscriptions, 30 revocations a minute) are tested further below.
  expect(new Set(refusals)).toEqual(
    new Set<string>([
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

it('never folds to an impossible state, whatever the clocks show', () => {
  const lifeWithAnyClocks = fc.tuple(created, history(START, anyCommand, { maxLength: 60 }, anyClockChange));
  fc.assert(
    fc.property(fc.oneof(wholeLife, lifeWithAnyClocks), ([birth, commands]) => {
      for (const { command, after } of play(consumerClient, [birth], commands))
        expectPossible(after, birth, command.at);
    }),
  );
});

it('begins with a creation, with a valid name', () => {
  fc.assert(
    fc.property(history(START, fc.oneof(create, anyCommand), { maxLength: 20 }), (commands) => {
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
    history(START, anyCommandButRevoke, { maxLength: 20 }),
    history(START, fc.oneof(anyCommandButRevoke, revoke), { minLength: 1, maxLength: 20 }),
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

it('has a generation that is good up to its end and never after it', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      const ends: Instant[] = []; // the end of generation 1, 2, …; the newest generation has no end
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

it('decides nothing when a command that asks for a state is repeated', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      for (const { command, refusal, after } of play(consumerClient, [birth], commands)) {
        // Two commands are carried out each time. Only the log knows whether a token was issued in between.
        const repeats = command.type === 'RotateSecret' || command.type === 'EndTokens';
        if (refusal === undefined && !repeats) {
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
        const replaced = before.tokens.periods.findLast(
          (p) => p.generation === generation && p.subscriptionId === subscriptionId,
        );
        expect(!replaced || replaced.expiresAt <= command.at || command.compromisedKids.includes(replaced.kid)).toBe(
          true,
        );
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
});
