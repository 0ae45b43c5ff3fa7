import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsString, MaxLength, MinLength } from 'class-validator';
import {
  type AuthenticationType,
  type ClientId,
  consumerClient,
  type ConsumerClientState,
  type Instant,
  isGoodGeneration,
  type SigningKeysState,
  subscription,
  type SubscriptionId,
  type SubscriptionState,
  type WorkspaceId,
} from '#domain';
import { type Basis, readQuarantinesAsOf } from '#event-log';
import { MayBeAbsent } from '#platform';
import { pastMomentOf } from '#replay';
import {
  instantOf as instantOfSeconds,
  isRefreshable,
  type RefreshToken,
  standingOf,
  type TokenRefusal,
  type VerifiedToken,
} from '#tokens';
import { DEPENDENCIES, type ManagementDependencies } from '../dependencies.js';
import { instantOf, IsDateTime } from '../requests/date-time.js';

/** Twice the length of the longest token that is ever issued. A longer text has to fit into a body, however it is escaped. */
const MAX_TOKEN_LENGTH = 4_096;

const REASONS = [
  'OK',
  'NOT_A_TOKEN',
  'EXPIRED',
  'NOT_YET_VALID',
  'SIGNING_KEY_COMPROMISED',
  'CLIENT_NOT_ACTIVE',
  'GENERATION_ENDED',
  'OTHER_ISSUER',
  'OTHER_AUDIENCE',
  'TOKEN_REVOKED',
  'OTHER_SUBSCRIPTION',
  'SUBSCRIPTION_NOT_LIVE',
  'NOT_ASSIGNED',
  'ISSUER_NOT_RECORDED',
] as const satisfies readonly ('OK' | TokenRefusal | 'ISSUER_NOT_RECORDED')[];
type Reason = (typeof REASONS)[number];

/** `null`: the log does not tell. */
type Verdict = { readonly good: boolean | null; readonly reason: Reason };
const verdictOf = (reason: Reason): Verdict => ({ good: reason === 'OK', reason });

@ApiSchema({ name: 'TokenStatusQuestion' })
export class TokenStatusBody {
  @ApiProperty({ minLength: 1, maxLength: MAX_TOKEN_LENGTH, example: 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYyJ9.c2ln' })
  @IsString()
  @MinLength(1)
  @MaxLength(MAX_TOKEN_LENGTH)
  token!: string;

  @ApiPropertyOptional({ format: 'date-time', example: '2026-11-24T12:00:00Z', description: 'Default: now' })
  @MayBeAbsent()
  @IsDateTime()
  at?: string;
}

@ApiSchema({ name: 'TokenStatus' })
export class TokenStatusAnswer {
  @ApiProperty({ format: 'date-time', example: '2026-11-24T12:00:00.000Z' })
  at!: string;

  @ApiProperty({
    oneOf: [{ type: 'boolean' }, { type: 'null' }],
    description: 'Whether the token was good then. null: the log does not tell',
  })
  good!: boolean | null;

  @ApiProperty({
    enum: REASONS,
    description:
      'Why not. NOT_A_TOKEN: it is no token of ours, or of another workspace; then nothing else is told. ' +
      'ISSUER_NOT_RECORDED: it was issued under another `PUBLIC_URL`, and nothing else spoke against it; whether this ' +
      'was still the `PUBLIC_URL` then is not recorded',
  })
  reason!: Reason;

  @ApiPropertyOptional({ enum: ['ACCESS_TOKEN', 'STATIC_TOKEN', 'REFRESH_TOKEN'] })
  kind?: 'ACCESS_TOKEN' | 'STATIC_TOKEN' | 'REFRESH_TOKEN';

  @ApiPropertyOptional({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId?: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 1 })
  generation?: number;

  @ApiPropertyOptional({ example: 'acme-weather', description: 'Absent if it was for all subscriptions' })
  subscriptionId?: string;

  @ApiPropertyOptional({ format: 'date-time' })
  issuedAt?: string;

  @ApiPropertyOptional({ format: 'date-time' })
  expiresAt?: string;
}

/** The answer, for the examples of the OpenAPI document. */
export const EXAMPLE_TOKEN_STATUS: TokenStatusAnswer = {
  ...{ at: '2026-11-24T12:00:00.000Z', good: false, reason: 'TOKEN_REVOKED', kind: 'STATIC_TOKEN' },
  ...{ clientId: 'cc_4fT0kq9wZr1sVb7XyN2mLp', generation: 1, subscriptionId: 'acme-weather' },
  ...{ issuedAt: '2026-11-24T09:05:00.000Z', expiresAt: '2027-11-24T09:05:00.000Z' },
};

/** Asks whether a token of the workspace was good at a moment. */
export class AskTokenStatus extends Query<TokenStatusAnswer> {
  constructor(
    readonly workspaceId: WorkspaceId,
    readonly body: TokenStatusBody,
  ) {
    super();
  }
}

/** The states as of a moment on which the verdict on a token depends. */
interface PastStates {
  /** The client's type, which never changes. */
  readonly authenticationType: AuthenticationType;
  readonly client: ConsumerClientState;
  readonly subscription: SubscriptionState | undefined;
  readonly keys: SigningKeysState;
}

@QueryHandler(AskTokenStatus)
export class AskTokenStatusHandler implements IQueryHandler<AskTokenStatus> {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: ManagementDependencies) {}

  async execute({ workspaceId, body }: AskTokenStatus): Promise<TokenStatusAnswer> {
    const { clock, issuer, refreshTokens, tokenVerifier, book } = this.dependencies;
    const now = clock().toISOString();
    const asked = body.at === undefined ? undefined : instantOf(body.at);
    const { basis, at } = await pastMomentOf(book, { at: asked, now });
    const unknown: TokenStatusAnswer = { at, good: false, reason: 'NOT_A_TOKEN' };

    const refreshToken = refreshTokens.open(body.token);
    if (refreshToken) {
      const { clientId, generation, subscriptionId, issuedAt, expiresAt } = refreshToken;
      const states = await this.statesAt(workspaceId, clientId, subscriptionId, basis);
      if (!states) return unknown;
      return {
        ...{ at, ...verdictOf(refreshReason(refreshToken, states, at)), kind: 'REFRESH_TOKEN', clientId, generation },
        ...(subscriptionId !== undefined && { subscriptionId }),
        ...{ issuedAt: instantOfSeconds(issuedAt), expiresAt: instantOfSeconds(expiresAt) },
      };
    }

    const verified = tokenVerifier.verify(body.token, signersOf((await book.signingKeys.read()).state));
    if (!verified) return unknown;
    const { sub: clientId, generation, subscription_id: subscriptionId, iat, exp } = verified.claims;
    const states = await this.statesAt(workspaceId, clientId, subscriptionId, basis);
    if (!states) return unknown;
    return {
      ...{ at, ...accessVerdict(verified, states, { issuer, at, isPast: at < now }) },
      kind: states.authenticationType === 'API_KEY' ? 'STATIC_TOKEN' : 'ACCESS_TOKEN',
      ...{ clientId, generation },
      ...(subscriptionId !== undefined && { subscriptionId }),
      ...{ issuedAt: instantOfSeconds(iat), expiresAt: instantOfSeconds(exp) },
    };
  }

  /** Returns the states in a past. Returns `undefined` if the client is not of this workspace. */
  private async statesAt(
    workspaceId: WorkspaceId,
    clientId: ClientId,
    subscriptionId: SubscriptionId | undefined,
    basis: Basis,
  ): Promise<PastStates | undefined> {
    const { book } = this.dependencies;
    const { state: created } = await book.clients.asOf(clientId, CREATION);
    if (created.status === 'NONE' || created.workspaceId !== workspaceId) return undefined;
    const [client, owner, keys, quarantines] = await Promise.all([
      book.clients.asOf(clientId, basis),
      subscriptionId === undefined ? undefined : book.subscriptions.asOf(subscriptionId, basis),
      book.signingKeys.asOf(undefined, basis),
      readQuarantinesAsOf(book.log, basis),
    ]);
    const isOwnerQuarantined = subscriptionId !== undefined && quarantines.has(subscription.stream(subscriptionId));
    return {
      authenticationType: created.authenticationType,
      client: quarantines.has(consumerClient.stream(clientId)) ? consumerClient.initial : client.state,
      subscription: isOwnerQuarantined ? subscription.initial : owner?.state,
      keys: keys.state,
    };
  }
}

const CREATION: Basis = { by: 'revision', revision: 0n };

/**
 * Returns the ring with which signatures are verified: also with keys that were compromised later. Whether a key was
 * compromised at the moment in question is judged by the ring of that moment.
 */
const signersOf = (state: SigningKeysState): SigningKeysState => ({
  ...state,
  keys: state.keys.map((key) => (key.status === 'COMPROMISED' ? { ...key, status: 'RETIRED' } : key)),
});

/**
 * Judges an access token or a static token. Today's issuer says nothing about a token that another one of ours issued
 * before `PUBLIC_URL` was changed: the log does not record when that was. Such a token is judged as then by its own
 * issuer, and if nothing else speaks against it, the answer is open.
 */
function accessVerdict(
  token: VerifiedToken,
  states: PastStates,
  { issuer, at, isPast }: { readonly issuer: string; readonly at: Instant; readonly isPast: boolean },
): Verdict {
  const { iss } = token.claims;
  const isOfFormerIssuer = isPast && iss !== issuer && states.authenticationType === 'OAUTH2';
  const standing = standingOf(token, states, { issuer: isOfFormerIssuer ? iss : issuer, at });
  if (!standing.active) return verdictOf(standing.refusal);
  return isOfFormerIssuer ? { good: null, reason: 'ISSUER_NOT_RECORDED' } : verdictOf('OK');
}

/** Judges a refresh token by the same rules as a refresh. */
function refreshReason(token: RefreshToken, { client, subscription: owner }: PastStates, at: Instant): Reason {
  const { generation, subscriptionId, issuedAt, expiresAt } = token;
  if (instantOfSeconds(expiresAt) <= at) return 'EXPIRED';
  if (client.status !== 'ACTIVE') return 'CLIENT_NOT_ACTIVE';
  if (!isGoodGeneration(client, generation, at)) return 'GENERATION_ENDED';
  if (subscriptionId !== undefined && owner?.status !== 'LIVE') return 'SUBSCRIPTION_NOT_LIVE';
  if (subscriptionId !== undefined && !client.subscriptions.has(subscriptionId)) return 'NOT_ASSIGNED';
  if (isRefreshable(token, client, subscriptionId, at)) return 'OK';
  return at < instantOfSeconds(issuedAt) ? 'NOT_YET_VALID' : 'TOKEN_REVOKED';
}
