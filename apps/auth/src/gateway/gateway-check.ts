import {
  type ActiveClient,
  type ClientId,
  type ConsumerClientState,
  type EndpointUri,
  type Instant,
  type SubscriptionId,
  type SubscriptionState,
  type WorkspaceId,
} from '#domain';
import type { UsageOutcome } from '#events';
import {
  type AccessTokenClaims,
  type DecidingStates,
  type Standing,
  standingOf,
  type TokenRefusal,
  type VerifiedToken,
} from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import { endpointOwner } from '../login/endpoint-owner.js';
import { ownSubscription, type UnrecordedUsage } from '../login/unrecorded-usage.js';
import type { TokenStanding } from '../tokens/token-standing.js';
import { type ClientDirectory, subscriptionAt } from './client-directory.js';
import {
  calledEndpoint,
  gatewaySecretCheck,
  headersLookedAt,
  presentedToken,
  SECRET_HEADER,
  soleHeaders,
} from './gateway-request.js';

/** The parts of a gateway's HTTP request that the check needs, exactly as the gateway sent them. */
export interface CheckRequest {
  readonly rawHeaders: readonly string[];
  /** The request target (path and query) of the gateway's request to the check. */
  readonly target: string;
}

/** Why a call must not reach the provider. The code is sent as `X-Auth-Code`, for the gateway and its logs. */
export type CheckRefusal = TokenRefusal | 'NO_TOKEN' | 'NOT_A_GATEWAY' | 'HEADER_REPEATED' | 'NOT_AN_ENDPOINT';

export type CheckAnswer =
  | {
      readonly code: 'GOOD';
      readonly client: ActiveClient;
      readonly subscriptionId: SubscriptionId | undefined;
      readonly endpoint: EndpointUri;
    }
  | {
      readonly code: CheckRefusal;
      /** The client of the token, if it is one of ours. */
      readonly clientId?: ClientId;
      readonly workspaceId?: WorkspaceId | undefined;
      readonly endpoint?: EndpointUri;
    };

/** The states that tell for whom and for which subscription an attempt is counted. */
type CountedStates = Pick<DecidingStates, 'client' | 'subscription'>;

/** How refusals are counted. Tokens that we never issued are counted apart, because they name no client. */
const OUTCOMES: Readonly<Record<TokenRefusal, UsageOutcome>> = {
  NOT_A_TOKEN: 'BAD_SECRET',
  EXPIRED: 'EXPIRED',
  NOT_YET_VALID: 'EXPIRED',
  OTHER_ISSUER: 'EXPIRED',
  SIGNING_KEY_COMPROMISED: 'REVOKED',
  CLIENT_NOT_ACTIVE: 'REVOKED',
  GENERATION_ENDED: 'REVOKED',
  TOKEN_REVOKED: 'REVOKED',
  OTHER_AUDIENCE: 'NOT_ASSIGNED',
  OTHER_SUBSCRIPTION: 'NOT_ASSIGNED',
  NOT_ASSIGNED: 'NOT_ASSIGNED',
  SUBSCRIPTION_NOT_LIVE: 'ENDED',
};

/** Refusals that no later event of the log can lift. For these refusals, the check does not read the log again. */
const FINAL: ReadonlySet<TokenRefusal> = new Set(['EXPIRED', 'NOT_YET_VALID', 'OTHER_ISSUER', 'CLIENT_NOT_ACTIVE']);

/**
 * Decides whether a call of an API may reach the provider. The decision uses the client directory (states in memory)
 * while the directory is current, and otherwise strong reads of the log, which are never outdated.
 */
export class GatewayCheck {
  private readonly lookedAt;
  private readonly isSecret;

  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'issuer' | 'now' | 'gateway'>,
    private readonly standing: TokenStanding,
    private readonly directory: ClientDirectory,
    private readonly attempts: Pick<UnrecordedUsage, 'count' | 'countUnknown'>,
  ) {
    this.lookedAt = headersLookedAt(dependencies.gateway);
    this.isSecret = gatewaySecretCheck(dependencies.gateway.secret);
  }

  /**
   * Returns the answer without a promise if all states that the decision needs are in memory. Throws `LogUnavailable`.
   */
  check({ rawHeaders, target }: CheckRequest): CheckAnswer | Promise<CheckAnswer> {
    const { uriFrom, tokenHeader } = this.dependencies.gateway;
    const headers = soleHeaders(rawHeaders, this.lookedAt);
    if (!headers) return { code: 'HEADER_REPEATED' };
    if (!this.isSecret(headers.get(SECRET_HEADER))) return { code: 'NOT_A_GATEWAY' };
    const uri = calledEndpoint(uriFrom, headers, target);
    if (uri === undefined) return { code: 'NOT_AN_ENDPOINT' };
    const token = presentedToken(headers, tokenHeader);
    if (token === undefined) return { code: 'NO_TOKEN', endpoint: uri };
    const verified = this.standing.recalled(token);
    const at = this.dependencies.now();
    const known = verified && this.knownStanding(verified, uri, at);
    if (!known) return this.checkAnew(token, uri);
    return this.answerOf(known, verified, uri, at);
  }

  private async checkAnew(token: string, uri: EndpointUri): Promise<CheckAnswer> {
    const { directory } = this;
    const verified = await this.verified(token);
    if (!verified) {
      this.attempts.countUnknown();
      return { code: 'NOT_A_TOKEN', endpoint: uri };
    }
    const { sub } = verified.claims;
    if (directory.isCurrent() && !directory.states(sub, uri)) await directory.fill(sub, uri);
    const at = this.dependencies.now();
    const known = this.knownStanding(verified, uri, at);
    if (known) return this.answerOf(known, verified, uri, at);
    const [client, subscription] = [this.clientOf(sub), this.subscriptionOf(uri)];
    const standing = await this.standing.of(verified, { client, subscription });
    return this.answerOf(standing, verified, uri, at, { client: await client, subscription: await subscription });
  }

  /**
   * Verifies the token by the signing keys in the directory. If they don't verify it, a key may be very new, and the
   * keys are read from the log. (Whether a key has been compromised is judged by the token's standing.)
   */
  private async verified(token: string): Promise<VerifiedToken | undefined> {
    const keys = this.directory.keys();
    return (keys && (await this.standing.verified(token, keys))) ?? this.standing.verified(token);
  }

  /**
   * Judges the token by the states in the directory. Returns `undefined` if these states don't suffice for a final
   * decision.
   */
  private knownStanding(verified: VerifiedToken, uri: EndpointUri, at: Instant): Standing | undefined {
    const states = this.directory.states(verified.claims.sub, uri);
    const known = states && standingOf(verified, states, { issuer: this.dependencies.issuer, at });
    // The only reason for a refusal may be that the directory lacks a very new token or assignment. Such a refusal
    // counts as unknown, and the caller reads the log.
    return known && (known.active || FINAL.has(known.refusal)) ? known : undefined;
  }

  private answerOf(
    standing: Standing,
    { claims }: VerifiedToken,
    uri: EndpointUri,
    at: Instant,
    states?: CountedStates,
  ): CheckAnswer {
    if (!standing.active) {
      const deciding = states ?? this.directory.states(claims.sub, uri);
      this.countRefusal(standing.refusal, claims, at, deciding);
      const workspaceId = deciding?.client.status === 'NONE' ? undefined : deciding?.client.workspaceId;
      return { code: standing.refusal, clientId: claims.sub, workspaceId, endpoint: uri };
    }
    const { client, assignment } = standing;
    const subscriptionId = assignment?.subscriptionId;
    this.attempts.count(client.clientId, claims.generation, subscriptionId ?? null, 'OK', at);
    return { code: 'GOOD', client, subscriptionId, endpoint: uri };
  }

  private countRefusal(
    refusal: TokenRefusal,
    { sub, generation }: AccessTokenClaims,
    at: Instant,
    states: CountedStates | undefined,
  ): void {
    if (states?.client.status === 'NONE') {
      this.attempts.countUnknown();
      return;
    }
    const isUnregistered = refusal === 'SUBSCRIPTION_NOT_LIVE' && states?.subscription?.status === 'UNREGISTERED';
    const outcome = isUnregistered ? 'NOT_ASSIGNED' : OUTCOMES[refusal];
    const subscription = states && ownSubscription(states.client, states.subscription);
    this.attempts.count(sub, generation, subscription, outcome, at);
  }

  private async clientOf(id: ClientId): Promise<ConsumerClientState> {
    return (await this.dependencies.book.clients.readUsable(id)).state;
  }

  /** Finds the subscription that owns the endpoint URI. Uses strong reads of the log, which are never outdated. */
  private async subscriptionOf(uri: EndpointUri): Promise<SubscriptionState> {
    const owner = await endpointOwner(this.dependencies.book, uri);
    return owner ? subscriptionAt(uri, owner.subscription) : { status: 'UNREGISTERED' };
  }
}
