import fc from 'fast-check';
import {
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type ConsumerClientState,
  goodCredentials,
  type Instant,
  isGoodGeneration,
  MAX_PARTIAL_ENDS,
  MAX_STATIC_TOKENS,
  secondsAfter,
  type SubscriptionState,
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

/** Seconds from now to the expiry of a new secret. `null`: the secret has no expiry. */
const lifetime = fc.option(fc.constantFrom(-1, 0, 1, 60, 600, 86_400, 10 * YEAR, 10 * YEAR + 1));
const expiry = (at: Instant, seconds: number | null) =>
  seconds === null ? {} : { expiresAt: secondsAfter(at, seconds) };

const labelKey = fc.constantFrom('team', 'acme.example/stage', 'k1', '-', 'a b', 'x'.repeat(64));
const labelValue = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('planning', 'production') }, text);
const externalId = fc.constantFrom('crm:1', 'crm:2', '', 'ü', 'x'.repeat(129));
const description = fc.record(
  { description: text, labels: fc.dictionary(labelKey, labelValue, { maxKeys: 4 }), externalId },
  { requiredKeys: [] },
);
const descriptionChange = fc.record(
  {
    name: text,
    description: fc.option(text),
    labels: fc.option(fc.dictionary(labelKey, fc.option(labelValue), { maxKeys: 4 })),
    externalId: fc.option(externalId),
  },
  { requiredKeys: [] },
);

const subscriptionOf = (id: string, status: string, owner: string, at: Instant): SubscriptionState => {
  const registered = {
    ...{ subscriptionId: id, workspaceId: owner, endpointUri: `${id}-uri` },
    ...{ serviceName: 'Weather', registeredAt: START },
  };
  return status === 'LIVE'
    ? { status: 'LIVE', ...registered }
    : { status: 'ENDED', ...registered, endedAt: at, reason: 'over' };
};
const subscriptionStatus = fc.constantFrom('LIVE', 'LIVE', 'LIVE', 'ENDED');
const firstSubscriptions = fc.array(fc.tuple(subscriptionId, subscriptionStatus, workspaceId), { maxLength: 4 });

const create = fc
  .record({
    name: text,
    authenticationType,
    draftId: fc.constantFrom('draft-1', undefined),
    description,
    lifetime,
    firstSubscriptions,
  })
  .map<ClientCommandAt>(({ draftId, description, lifetime, firstSubscriptions, ...rest }) => (at) => ({
    type: 'CreateClient',
    ...CLIENT,
    ...rest,
    ...description,
    ...(draftId === undefined ? {} : { draftId }),
    verifier: 'verifier 1',
    ...expiry(at, lifetime),
    subscriptions: firstSubscriptions.map(([id, status, owner]) => subscriptionOf(id, status, owner, at)),
    at,
  }));
const describeClient = fc
  .record({ workspaceId, change: descriptionChange })
  .map<ClientCommandAt>(({ workspaceId, change }) => (at) => ({ type: 'DescribeClient', workspaceId, ...change, at }));
const rotate = fc
  .record(
    {
      workspaceId,
      overlapSeconds: fc.oneof(fc.constantFrom(0, 604_800, 604_801, -1, 0.5), fc.integer({ min: 0, max: 604_800 })),
      draft: fc.record({ draftId: fc.constant('draft-2'), generation: fc.integer({ min: 2, max: 4 }) }),
      lifetime,
    },
    { requiredKeys: ['workspaceId', 'lifetime'] },
  )
  .map<ClientCommandAt>(({ lifetime, ...fields }) => (at, index) => ({
    type: 'RotateSecret',
    ...fields,
    ...expiry(at, lifetime),
    verifier: `verifier ${index}`,
    at,
  }));
const retire = fc
  .record({ workspaceId, generation: fc.integer({ min: 0, max: 5 }) })
  .map<ClientCommandAt>((fields) => (at) => ({ type: 'RetireCredential', ...fields, at }));
const assign = fc
  .record({ workspaceId, subscriptionId, owner: workspaceId, status: subscriptionStatus })
  .map<ClientCommandAt>(({ workspaceId, subscriptionId, owner, status }) => (at) => ({
    type: 'AssignToSubscription',
    workspaceId,
    subscription: subscriptionOf(subscriptionId, status, owner, at),
    at,
  }));
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
  { weight: 4, arbitrary: describeClient },
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

const created = fc
  .tuple(authenticationType, fc.option(fc.constantFrom(60, 600, 86_400)))
  .map<Created>(([type, lifetime]) => ({
    type: 'ConsumerClientCreated',
    data: {
      ...{ ...CLIENT, name: 'Billing', authenticationType: type, verifier: 'verifier 1', createdAt: START },
      ...expiry(START, lifetime),
    },
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
  for (const [field, value] of Object.entries({ description: state.description, externalId: state.externalId })) {
    if (value !== undefined) expect([field, value]).toEqual([field, value.trim() || 'some text']);
  }
  const labels = Object.entries(state.labels ?? { team: 'planning' });
  expect(labels.length).toBeGreaterThan(0);
  expect(labels.length).toBeLessThanOrEqual(16);
  if (state.status === 'REVOKED') return;

  const generations = state.credentials.map(({ generation }) => generation);
  const newest = state.credentials.at(-1);
  expect([1, 2]).toContain(generations.length);
  expect(new Set(generations).size).toBe(generations.length);
  expect(newest).toMatchObject({ generation: Math.max(...generations) });
  for (const { generation, expiresAt } of state.credentials.slice(0, -1)) {
    expect([generation, expiresAt === undefined]).toEqual([generation, false]);
  }
  const newestIsGood = newest?.expiresAt === undefined || at < newest.expiresAt;
  expect(goodCredentials(state, at).at(-1) === newest).toBe(newestIsGood);

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
      'ConsumerClientDescribed',
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
      'invalid_description',
      'invalid_expiry',
      'invalid_external_id',
      'invalid_labels',
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

it('has a generation that is good up to its end, be it by expiry, overlap or retirement, and never after it', () => {
  const earlier = (one: Instant, other: Instant) => (one < other ? one : other);
  const never: Instant = '9999-12-31T00:00:00.000Z';
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      /** The end of generation 1, 2, … */
      let ends: Instant[] = [birth.data.expiresAt ?? never];
      for (const { command, events, after } of play(consumerClient, [birth], commands)) {
        if (events.length > 0 && command.type === 'RotateSecret') {
          const overlapEnd = secondsAfter(command.at, command.overlapSeconds ?? 0);
          ends = ends.map((end, index) => earlier(end, index === ends.length - 1 ? overlapEnd : command.at));
          ends.push(command.expiresAt ?? never);
        }
        if (events.length > 0 && command.type === 'RetireCredential') ends[command.generation - 1] = command.at;
        if (after.status !== 'ACTIVE') return;
        const good = [...ends.keys()].filter((index) => command.at < (ends[index] ?? '')).map((index) => index + 1);
        expect(goodCredentials(after, command.at).map(({ generation }) => generation)).toEqual(good);
        expect(good.every((generation) => isGoodGeneration(after, generation, command.at))).toBe(true);
      }
    }),
  );
});

it('tells in its events when the generation before a rotation ends', () => {
  fc.assert(
    fc.property(wholeLife, ([birth, commands]) => {
      for (const { command, before, events } of play(consumerClient, [birth], commands)) {
        const [event] = events;
        if (event?.type !== 'ConsumerClientSecretRotated' || before.status !== 'ACTIVE') continue;
        const { previousExpiresAt, rotatedAt } = event.data;
        expect(rotatedAt).toBe(command.at);
        expect(previousExpiresAt >= rotatedAt).toBe(true);
        const own = before.credentials.at(-1)?.expiresAt;
        if (own !== undefined) expect(previousExpiresAt === rotatedAt || previousExpiresAt <= own).toBe(true);
      }
    }),
  );
});

it('has the description that the changes leave, one after the other', () => {
  const changes = history(START, describeClient, { maxLength: 20 });
  fc.assert(
    fc.property(created, changes, (birth, commands) => {
      let expected: Record<string, unknown> = { labels: {} };
      for (const { command, refusal, after } of play(consumerClient, [birth], commands)) {
        if (command.type !== 'DescribeClient' || after.status !== 'ACTIVE') throw new Error('Another command');
        const { description, labels, externalId } = command;
        if (!refusal) {
          const merged = labels === null ? {} : { ...(expected.labels as object), ...labels };
          expected = {
            description: description === undefined ? expected.description : (description?.trim() ?? undefined),
            labels: Object.fromEntries(
              Object.entries(merged).flatMap(([key, value]) => (value === null ? [] : [[key, value.trim()]])),
            ),
            externalId: externalId === undefined ? expected.externalId : (externalId ?? undefined),
          };
        }
        const { description: shown, labels: shownLabels = {}, externalId: shownId } = after;
        expect({ description: shown, labels: shownLabels, externalId: shownId }).toEqual(expected);
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
