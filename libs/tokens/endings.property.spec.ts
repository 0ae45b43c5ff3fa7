import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { decodeJwt } from 'jose';
import {
  type ActiveClient,
  type AuthenticationType,
  consumerClient,
  type ConsumerClientCommand,
  currentStaticToken,
  DomainError,
  goodCredentials,
  type Instant,
  MAX_STATIC_TOKENS,
  newestCredential,
  secondsAfter,
  type SigningKeysState,
} from '#domain';
import {
  type AccessTokenClaims,
  epochSeconds,
  instantOf,
  isRefreshable,
  issueAccessToken,
  type RefreshFamily,
  type RefreshToken,
  standingOf,
  staticTokenPeriod,
} from '#tokens';
import { anyClockChange } from '../../test/support/events/play.js';

const START: Instant = '2026-03-01T08:00:00.000Z';
const ISSUER = 'https://api.marketplace.example';
const CLIENT = { clientId: 'cc_0123456789abcdef', workspaceId: 'acme' } as const;
const SIGNER = { kid: 'k1', alg: 'EdDSA', privateKey: generateKeyPairSync('ed25519').privateKey } as const;
const KEYS: SigningKeysState = {
  masterKeyChecks: [],
  logKeys: [],
  keys: [
    {
      kid: SIGNER.kid,
      alg: 'EdDSA',
      publicJwk: {},
      masterKeyId: 'm',
      wrappedKey: 'w',
      publishedAt: START,
      status: 'SIGNING',
    },
  ],
};

/** The tokens of one login or refresh. */
interface Issued {
  readonly access: AccessTokenClaims;
  readonly refresh?: RefreshToken;
}

/** What happens to the client. `choice` names one of the tokens that were issued last. */
type Action =
  | { readonly type: 'login' | 'login of an older version' | 'rename' | 'retire' | 'end all tokens' }
  | { readonly type: 'refresh' | 'revoke token' | 'revoke family'; readonly choice: number }
  | { readonly type: 'end tokens up to'; readonly age: number }
  | { readonly type: 'rotate'; readonly overlapSeconds: number; readonly lifetime: number | null }
  | { readonly type: 'revoke other tokens'; readonly count: number };

const choice = fc.nat({ max: 5 });
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('login' as const) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('refresh' as const), choice }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('rename' as const, 'end all tokens' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constantFrom('revoke token' as const, 'revoke family' as const), choice }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('end tokens up to' as const),
      age: fc.oneof(fc.integer({ min: -600, max: 7200 }), fc.integer({ min: 0, max: 31_536_000 })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('rotate' as const),
      overlapSeconds: fc.constantFrom(0, 300, 604_800),
      lifetime: fc.option(fc.constantFrom(1, 200, 3600, 86_400)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('retire' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('revoke other tokens' as const),
      count: fc.constantFrom(490, 501, 1001),
    }),
  },
);

/**
 * One client, as the service treats it. The test keeps its own record of what every acknowledged ending has ended, by
 * the tokens' own claims.
 */
class Life {
  client: ActiveClient;
  private readonly issued: Issued[] = [];
  private readonly endedAccess = new Set<AccessTokenClaims>();
  private readonly endedRefresh = new Set<RefreshToken>();
  private readonly expiries = new Map<number, Instant>();
  private names = 0;

  constructor(private readonly authenticationType: AuthenticationType) {
    const birth = { name: 'Billing', authenticationType, verifier: 'verifier 1', createdAt: START };
    this.client = active(
      consumerClient.evolve(consumerClient.initial, { type: 'ConsumerClientCreated', data: { ...CLIENT, ...birth } }),
    );
  }

  act(action: Action, at: Instant): void {
    switch (action.type) {
      case 'login':
      case 'login of an older version': {
        const generation = this.goodGeneration(at);
        if (generation === undefined) return;
        if (action.type === 'login of an older version') this.logInByOlderVersion(generation, at);
        else if (this.authenticationType === 'API_KEY') this.logInWithApiKey(generation, at);
        else this.logIn(generation, at);
        return;
      }
      case 'refresh':
        this.refresh(this.chosen(action.choice), at);
        return;
      case 'rename':
        this.execute({ type: 'DescribeClient', workspaceId: 'acme', name: this.name(), at });
        return;
      case 'revoke token':
        this.revokeToken(this.chosen(action.choice), at);
        return;
      case 'revoke family':
        this.revokeFamily(this.chosen(action.choice), at);
        return;
      case 'end all tokens':
        if (this.execute({ type: 'EndTokens', at })) this.end(() => true);
        return;
      case 'end tokens up to':
        this.endTokensUpTo(secondsAfter(at, -action.age), at);
        return;
      case 'rotate':
        this.rotate(action, at);
        return;
      case 'retire':
        this.retire(at);
        return;
      case 'revoke other tokens':
        for (let n = 0; n < action.count; n++) this.foldOtherRevocation(at);
    }
  }

  /** Returns the ended tokens that are accepted at one of these moments or at any other decisive moment. */
  revived(moments: readonly Instant[]): (AccessTokenClaims | RefreshToken)[] {
    const within = (from: number, to: number) => [...moments, ...momentsWithin(from, to)];
    return [
      ...[...this.endedAccess].filter((claims) =>
        within(claims.iat, claims.exp).some((moment) => this.accepts(claims, moment)),
      ),
      ...[...this.endedRefresh].filter((token) =>
        within(token.issuedAt, token.expiresAt).some((moment) => isRefreshable(token, this.client, undefined, moment)),
      ),
    ];
  }

  /** Returns the tokens that are accepted although the generation of the secret from which they come has expired. */
  outlastingTheirSecret(): (AccessTokenClaims | RefreshToken)[] {
    return this.issued.flatMap(({ access, refresh }) => {
      const expiry = this.expiries.get(access.generation);
      if (expiry === undefined) return [];
      const moments = [expiry, secondsAfter(expiry, 1), secondsAfter(expiry, 299), secondsAfter(expiry, 86_400)];
      return [
        ...(moments.some((moment) => this.accepts(access, moment)) ? [access] : []),
        ...(refresh && moments.some((moment) => isRefreshable(refresh, this.client, undefined, moment))
          ? [refresh]
          : []),
      ];
    });
  }

  /** Returns the issued tokens that are refused at a moment between their issue and their expiry. */
  refusedWithinTheirTime(): AccessTokenClaims[] {
    return this.issued
      .map(({ access }) => access)
      .filter((claims) => !momentsWithin(claims.iat, claims.exp).every((moment) => this.accepts(claims, moment)));
  }

  private logInWithApiKey(generation: number, at: Instant): void {
    const grant = { issuer: ISSUER, clientId: CLIENT.clientId, generation };
    const token = staticTokenPeriod(grant, SIGNER, { issuedAt: at, jti: this.name() });
    this.execute({ type: 'IssueStaticToken', token, compromisedKids: [], at });
    const current = currentStaticToken(this.client.tokens, generation, undefined, at);
    this.remember({ access: current?.claims as AccessTokenClaims }, at);
  }

  private logIn(generation: number, at: Instant): void {
    this.issuePair(generation, { id: this.name(), startedAt: epochSeconds(at) }, at);
  }

  /** Issues tokens as a version of this software did that knew no epochs. The client may refuse them at once. */
  private logInByOlderVersion(generation: number, at: Instant): void {
    const family = { id: this.name(), startedAt: epochSeconds(at) };
    this.issued.unshift(this.pair({ generation, family }, at));
  }

  private refresh(chosen: Issued | undefined, at: Instant): void {
    const token = chosen?.refresh;
    if (token && isRefreshable(token, this.client, undefined, at)) this.issuePair(token.generation, token.family, at);
  }

  private issuePair(generation: number, family: RefreshFamily, at: Instant): void {
    const { epoch: tokenEpoch } = this.client.tokens;
    this.remember(this.pair({ generation, family, tokenEpoch }, at), at);
  }

  private pair(grant: Pick<RefreshToken, 'generation' | 'family' | 'tokenEpoch'>, at: Instant): Required<Issued> {
    const { clientId } = CLIENT;
    const issuedAt = epochSeconds(at);
    const { token } = issueAccessToken(
      SIGNER,
      { issuer: ISSUER, clientId, ...grant },
      { issuedAt: at, jti: this.name() },
    );
    return { access: decodeJwt(token), refresh: { clientId, ...grant, issuedAt, expiresAt: issuedAt + 1800 } };
  }

  /** A new token is accepted at once, by the clock that dated it. */
  private remember(issued: Issued, at: Instant): void {
    expect(this.accepts(issued.access, at)).toBe(true);
    if (issued.refresh) expect(isRefreshable(issued.refresh, this.client, undefined, at)).toBe(true);
    this.issued.unshift(issued);
  }

  private revokeToken(chosen: Issued | undefined, at: Instant): void {
    if (!chosen) return;
    const { jti: tokenId, iat, exp, token_epoch: epoch } = chosen.access;
    const kind = this.authenticationType === 'API_KEY' ? 'STATIC_TOKEN' : 'ACCESS_TOKEN';
    const times = { issuedAt: instantOf(iat), expiresAt: instantOf(exp) };
    if (this.execute({ type: 'RevokeToken', kind, tokenId, ...times, epoch, at })) {
      this.end(({ access }) => access.jti === tokenId, { alsoRefresh: false });
    }
  }

  private revokeFamily(chosen: Issued | undefined, at: Instant): void {
    if (!chosen?.refresh) return;
    const { family, tokenEpoch: epoch } = chosen.refresh;
    const times = { issuedAt: instantOf(family.startedAt), expiresAt: instantOf(family.startedAt + 86_400) };
    if (this.execute({ type: 'RevokeToken', kind: 'REFRESH_FAMILY', tokenId: family.id, ...times, epoch, at })) {
      this.end(({ access }) => access.family_id === family.id);
    }
  }

  private endTokensUpTo(moment: Instant, at: Instant): void {
    if (!this.execute({ type: 'EndTokens', issuedBefore: moment, at })) return;
    const isCovered = (seconds: number) =>
      at <= moment || instantOf(seconds) <= moment || secondsAfter(at, 5) < instantOf(seconds);
    this.end(({ access }) => isCovered(access.iat), { alsoRefresh: false });
    this.end(({ refresh }) => refresh !== undefined && isCovered(refresh.family.startedAt));
  }

  private rotate({ overlapSeconds, lifetime }: Extract<Action, { type: 'rotate' }>, at: Instant): void {
    const { generation } = newestCredential(this.client);
    const expiresAt = lifetime === null ? undefined : secondsAfter(at, lifetime);
    const command = { type: 'RotateSecret', workspaceId: 'acme', verifier: this.name(), overlapSeconds, at } as const;
    if (!this.execute({ ...command, ...(expiresAt !== undefined && { expiresAt }) })) {
      throw new Error('A rotation was refused');
    }
    if (expiresAt !== undefined) this.expiries.set(generation + 1, expiresAt);
    this.end(({ access }) => access.generation < (overlapSeconds === 0 ? generation + 1 : generation));
  }

  private retire(at: Instant): void {
    const generation = newestCredential(this.client).generation - 1;
    if (this.execute({ type: 'RetireCredential', workspaceId: 'acme', generation, at })) {
      this.end(({ access }) => access.generation === generation);
    }
  }

  private foldOtherRevocation(at: Instant): void {
    if (this.authenticationType === 'API_KEY') return;
    const token = { kind: 'ACCESS_TOKEN', tokenId: this.name(), issuedAt: at, expiresAt: at } as const;
    this.client = active(
      consumerClient.evolve(this.client, { type: 'ConsumerClientTokenRevoked', data: { ...token, revokedAt: at } }),
    );
  }

  private end(isEnded: (issued: Issued) => boolean, { alsoRefresh = true } = {}): void {
    for (const issued of this.issued.filter(isEnded)) {
      this.endedAccess.add(issued.access);
      if (alsoRefresh && issued.refresh) this.endedRefresh.add(issued.refresh);
    }
  }

  /** Carries out the command. Returns whether it was acknowledged. */
  private execute(command: ConsumerClientCommand): boolean {
    try {
      const events = consumerClient.decide(this.client, command);
      this.client = active(events.reduce<ReturnType<typeof consumerClient.evolve>>(consumerClient.evolve, this.client));
      return true;
    } catch (error) {
      if (error instanceof DomainError) return false;
      throw error;
    }
  }

  private accepts(claims: AccessTokenClaims, at: Instant): boolean {
    const states = { client: this.client, subscription: undefined, keys: KEYS };
    return standingOf({ kid: SIGNER.kid, claims }, states, { issuer: ISSUER, at }).active;
  }

  private chosen(back: number): Issued | undefined {
    return this.issued[back];
  }

  /** The oldest generation that is good, if one is. A login with it is the first that an ending must end. */
  private goodGeneration(at: Instant): number | undefined {
    return goodCredentials(this.client, at)[0]?.generation;
  }

  private name(): string {
    this.names += 1;
    return `name-${this.names}`;
  }
}

/** Three moments of a token's time. `from` and `to` are its issue and its expiry, in seconds since 1970. */
const momentsWithin = (from: number, to: number): Instant[] => [from, (from + to) / 2, to - 1].map(instantOf);

const active = (state: ReturnType<typeof consumerClient.evolve>): ActiveClient => {
  if (state.status !== 'ACTIVE') throw new Error(`The client is ${state.status}`);
  return state;
};

it.each<AuthenticationType>(['OAUTH2', 'API_KEY'])(
  'what an acknowledged ending has ended is never accepted again, and what is issued is accepted at once, whatever the clocks show (%s)',
  (authenticationType) => {
    const history = fc.array(fc.tuple(anyClockChange, action), { minLength: 1, maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(history, (steps) => {
        const life = new Life(authenticationType);
        const moments = [START];
        for (const [seconds, step] of steps) {
          const at = secondsAfter(moments.at(-1) ?? START, seconds);
          moments.push(at);
          life.act(step, at);
          expect(life.revived(moments)).toEqual([]);
          expect(life.outlastingTheirSecret()).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  },
);

it('a static token that nobody ended is good for its whole year, also if it was replaced, whatever the clocks showed', () => {
  const changes = fc.array(anyClockChange, { minLength: 2, maxLength: MAX_STATIC_TOKENS });
  fc.assert(
    fc.property(changes, (seconds) => {
      const life = new Life('API_KEY');
      let at = START;
      for (const change of seconds) {
        at = secondsAfter(at, change);
        life.act({ type: 'login' }, at);
        expect(life.refusedWithinTheirTime()).toEqual([]);
      }
    }),
  );
});

describe('a token of an older version, which carries no epoch', () => {
  const older = fc.constant<Action>({ type: 'login of an older version' });
  const steps = (act: fc.Arbitrary<Action>, minLength: number) =>
    fc.array(fc.tuple(anyClockChange, act), { minLength, maxLength: 15, size: 'max' });
  const fullEnd = fc.constantFrom<Action>(
    { type: 'end all tokens' },
    { type: 'end tokens up to', age: 0 },
    { type: 'end tokens up to', age: -600 },
  );

  it('is refused after any end of all tokens, whatever the clocks show', () => {
    const history = fc.tuple(
      steps(fc.oneof({ weight: 1, arbitrary: older }, { weight: 1, arbitrary: action }), 2),
      fc.tuple(anyClockChange, fullEnd),
      steps(fc.oneof({ weight: 1, arbitrary: older }, { weight: 3, arbitrary: action }), 0),
    );
    fc.assert(
      fc.property(history, ([before, end, afterwards]) => {
        const life = new Life('OAUTH2');
        const moments = [START];
        for (const [seconds, step] of [...before, end, ...afterwards]) {
          const at = secondsAfter(moments.at(-1) ?? START, seconds);
          moments.push(at);
          life.act(step, at);
          expect(life.revived(moments)).toEqual([]);
        }
      }),
    );
  });
});
