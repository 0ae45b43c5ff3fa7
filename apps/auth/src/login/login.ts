import { randomUUID } from 'node:crypto';
import {
  type ActiveClient,
  type Assignment,
  compromisedKids,
  currentStaticToken,
  DomainError,
  type Instant,
  isEndpointUri,
  type SigningKeysState,
  type SubscriptionState,
} from '#domain';
import { internalContext, requireCommonClock } from '#event-log';
import type { UsageOutcome } from '#events';
import {
  type AccessToken,
  epochSeconds,
  isRefreshable,
  issueAccessToken,
  type RefreshFamily,
  type RefreshToken,
  signStaticToken,
  staticTokenPeriod,
  type TokenGrant,
} from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import { invalidClient, invalidGrant, type OAuthError, unauthorizedClient } from '../http/oauth-error.js';
import type { AuthenticatedClient } from './client-authentication.js';
import { ownSubscription, type UnrecordedUsage } from './unrecorded-usage.js';

export interface IssuedTokens {
  readonly access: AccessToken;
  /** Present only for OAUTH2 clients. */
  readonly refreshToken?: string;
}

/**
 * Decides logins from the event log alone, never from a read model. Every stream that the decision depends on is read
 * strongly (and so is not outdated) after the request has arrived. Counts the logins, with their outcome.
 */
export class Login {
  constructor(
    private readonly dependencies: AuthDependencies,
    private readonly attempts: Pick<UnrecordedUsage, 'count'>,
  ) {}

  /**
   * Issues tokens to an authenticated client. With a `refreshToken`, the login is a refresh. Throws `OAuthError`,
   * `LogUnavailable`.
   */
  async login(
    { client, generation, keys }: AuthenticatedClient,
    refreshToken: string | undefined,
    endpointUri: string | undefined,
    correlationId: string,
  ): Promise<IssuedTokens> {
    requireCommonClock(this.dependencies.book.log);
    const endpoint = endpointUri === undefined ? undefined : await this.endpointOf(client, generation, endpointUri);
    const at = this.dependencies.now();
    const grant: TokenGrant = {
      issuer: this.dependencies.issuer,
      clientId: client.clientId,
      generation,
      ...(endpoint && { endpoint }),
    };
    if (client.authenticationType === 'API_KEY') {
      const access =
        this.repeatedStaticToken(client, grant, await keys, at) ??
        (await this.staticToken(client, grant, at, correlationId));
      this.count(grant, 'OK', at);
      return { access };
    }
    const familyGrant = this.familyGrant(grant, refreshToken, client, at);
    const pair = this.tokenPair(familyGrant, await keys, at);
    this.count(familyGrant, 'OK', at);
    return pair;
  }

  private count({ clientId, generation, endpoint }: TokenGrant, outcome: UsageOutcome, at: Instant): void {
    this.attempts.count(clientId, generation, endpoint?.subscriptionId ?? null, outcome, at);
  }

  /**
   * Adds a refresh family (all tokens that descend from one login) to the grant, which describes the new tokens. The
   * family is new, or is the family of the presented refresh token.
   */
  private familyGrant(
    grant: TokenGrant,
    refreshToken: string | undefined,
    client: ActiveClient,
    at: Instant,
  ): TokenGrant & { readonly family: RefreshFamily } {
    const { epoch: tokenEpoch } = client.tokens;
    if (refreshToken === undefined) {
      return { ...grant, tokenEpoch, family: { id: randomUUID(), startedAt: epochSeconds(at) } };
    }
    const refreshed = this.dependencies.refreshTokens.open(refreshToken);
    if (!refreshed || !isRefreshable(refreshed, client, grant.endpoint?.subscriptionId, at)) {
      this.count(grant, refreshRefusal(refreshed, grant, at), at);
      throw invalidGrant();
    }
    // After a client's secret is rotated, the old secret stays valid for some time (the overlap). A family keeps the
    // credential generation (number) of its first login, and is refused when the overlap of that generation ends.
    return { ...grant, tokenEpoch, generation: refreshed.generation, family: refreshed.family };
  }

  /**
   * Returns the client's assignment to the live subscription that owns the endpoint URI. Throws `OAuthError` if the
   * client has no such assignment.
   */
  private async endpointOf(client: ActiveClient, generation: number, uri: string): Promise<Assignment> {
    const refused = (outcome: UsageOutcome, subscription?: SubscriptionState) => {
      this.attempts.count(
        client.clientId,
        generation,
        ownSubscription(client, subscription),
        outcome,
        this.dependencies.now(),
      );
      return unauthorizedClient();
    };
    // `uri` comes from the request and is untrusted. Only a valid endpoint URI may become part of a stream name.
    if (!isEndpointUri(uri)) throw refused('NOT_ASSIGNED');
    const { endpointUris, subscriptions } = this.dependencies.book;
    const { state: claim } = await endpointUris.read(uri);
    if (claim.status === 'FREE') throw refused('NOT_ASSIGNED');
    const { state: subscription } = await subscriptions.read(claim.subscriptionId);
    const assignment = client.subscriptions.get(claim.subscriptionId);
    if (subscription.status === 'ENDED') throw refused('ENDED', subscription);
    if (subscription.status !== 'LIVE' || subscription.endpointUri !== uri || !assignment) {
      throw refused('NOT_ASSIGNED', subscription);
    }
    return assignment;
  }

  private tokenPair(grant: TokenGrant & { family: RefreshFamily }, keys: SigningKeysState, at: Instant): IssuedTokens {
    const { ring, refreshTokens } = this.dependencies;
    const access = issueAccessToken(ring.signer(keys), grant, { issuedAt: at, jti: randomUUID() });
    return { access, refreshToken: refreshTokens.issue(grant, at) };
  }

  /**
   * Returns the client's current static token. The log holds the token's period (all of the token except the
   * signature), so the token is signed again. Returns `undefined` if there is no period, or if its key must not sign
   * according to `keys`. The key may sign all the same, because `keys` may be older than the client's state.
   */
  private repeatedStaticToken(
    client: ActiveClient,
    { generation, endpoint }: TokenGrant,
    keys: SigningKeysState,
    at: Instant,
  ): AccessToken | undefined {
    const period = currentStaticToken(client.tokens, generation, endpoint?.subscriptionId, at);
    const signer = period && this.dependencies.ring.usableSigner(keys, period.kid);
    return signer && signStaticToken(period, signer, at);
  }

  /**
   * Does the same as `repeatedStaticToken` with the signing keys as they are now. If there is no usable period, a new
   * period is recorded before its token is issued.
   */
  private async staticToken(
    client: ActiveClient,
    grant: TokenGrant,
    at: Instant,
    correlationId: string,
  ): Promise<AccessToken> {
    const { ring } = this.dependencies;
    const keys = await ring.state();
    const repeated = this.repeatedStaticToken(client, grant, keys, at);
    if (repeated) return repeated;
    const period = await this.startPeriod(client, grant, keys, at, correlationId);
    // Another node may have recorded this period for a signing key that is newer than `keys`, so the keys are read
    // again.
    return signStaticToken(period, ring.signerOf(await ring.state(), period.kid), at);
  }

  private async startPeriod(
    { clientId, workspaceId }: ActiveClient,
    grant: TokenGrant,
    keys: SigningKeysState,
    at: Instant,
    correlationId: string,
  ) {
    const { book, ring } = this.dependencies;
    const token = staticTokenPeriod(grant, ring.signer(keys), { issuedAt: at, jti: randomUUID() });
    const context = internalContext({ via: 'login', subject: clientId, workspaceId, correlationId });
    try {
      const command = { type: 'IssueStaticToken', token, compromisedKids: compromisedKids(keys), at } as const;
      const { state } = await book.clients.execute(clientId, command, { context });
      const started =
        state.status === 'ACTIVE' && currentStaticToken(state.tokens, grant.generation, token.subscriptionId, at);
      if (!started) throw this.refusedPeriod(grant, 'REVOKED', at);
      return started;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      throw this.refusedPeriod(grant, error.code === 'client_not_assigned' ? 'NOT_ASSIGNED' : 'REVOKED', at);
    }
  }

  /** The client was revoked or unassigned between the read of its state and the append of the token's period. */
  private refusedPeriod(grant: TokenGrant, outcome: 'REVOKED' | 'NOT_ASSIGNED', at: Instant): OAuthError {
    this.count(grant, outcome, at);
    return outcome === 'NOT_ASSIGNED' ? unauthorizedClient() : invalidClient();
  }
}

/** Why a refresh token is refused, for the counts. The bearer never learns the reason. */
function refreshRefusal(token: RefreshToken | undefined, grant: TokenGrant, at: Instant): UsageOutcome {
  if (token?.clientId !== grant.clientId) return 'BAD_SECRET';
  if (token.subscriptionId !== grant.endpoint?.subscriptionId) return 'NOT_ASSIGNED';
  return token.expiresAt <= epochSeconds(at) ? 'EXPIRED' : 'REVOKED';
}
