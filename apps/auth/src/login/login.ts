import { randomUUID } from 'node:crypto';
import {
  type ActiveClient,
  type Assignment,
  compromisedKids,
  currentStaticToken,
  DomainError,
  type Instant,
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
import type { RequestedEndpoint } from './endpoint-owner.js';
import { ownSubscription, type UnrecordedUsage } from './unrecorded-usage.js';

export interface IssuedTokens {
  readonly access: AccessToken;
  /** Present only for OAUTH2 clients. `expiresIn` is in seconds. */
  readonly refresh?: { readonly token: string; readonly expiresIn: number };
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
    requested: RequestedEndpoint | undefined,
    correlationId: string,
  ): Promise<IssuedTokens> {
    requireCommonClock(this.dependencies.book.log);
    const endpoint = requested && (await this.assignmentTo(requested, client, generation));
    const at = this.dependencies.now();
    const grant: TokenGrant = {
      issuer: this.dependencies.issuer,
      clientId: client.clientId,
      generation,
      ...(endpoint && { endpoint }),
    };
    if (client.authenticationType === 'API_KEY') {
      const access = await this.staticToken(client, grant, await keys, at, correlationId);
      this.count(grant, 'OK', at);
      return { access };
    }
    const familyGrant = this.familyGrant(grant, refreshToken, client, at);
    const pair = this.tokenPair(client, familyGrant, await keys, at);
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
      const outcome = refreshRefusal(refreshed, grant, at);
      this.count(grant, outcome, at);
      throw invalidGrant().because(outcome);
    }
    // After a client's secret is rotated, the old secret stays valid for some time (the overlap). A family keeps the
    // credential generation (number) of its first login, and is refused when the overlap of that generation ends.
    return { ...grant, tokenEpoch, generation: refreshed.generation, family: refreshed.family };
  }

  /**
   * Returns the client's assignment to the live subscription that owns the endpoint URI. Throws `OAuthError` if the
   * client has no such assignment.
   */
  private async assignmentTo(
    endpoint: RequestedEndpoint,
    client: ActiveClient,
    generation: number,
  ): Promise<Assignment> {
    const refused = (outcome: UsageOutcome, subscription?: SubscriptionState) => {
      this.attempts.count(
        client.clientId,
        generation,
        ownSubscription(client, subscription),
        outcome,
        this.dependencies.now(),
      );
      return unauthorizedClient().because(outcome);
    };
    const owner = await endpoint.owner();
    if (!owner) throw refused('NOT_ASSIGNED');
    const { subscriptionId, subscription } = owner;
    const assignment = client.subscriptions.get(subscriptionId);
    if (subscription.status === 'ENDED') throw refused('ENDED', subscription);
    if (subscription.status !== 'LIVE' || subscription.endpointUri !== endpoint.uri || !assignment) {
      throw refused('NOT_ASSIGNED', subscription);
    }
    return assignment;
  }

  private tokenPair(
    { credentials }: ActiveClient,
    familyGrant: TokenGrant & { family: RefreshFamily },
    keys: SigningKeysState,
    at: Instant,
  ): IssuedTokens {
    const { ring, refreshTokens } = this.dependencies;
    let credentialExpiresAt: Instant | undefined;
    // A loop without a callback: this is the path of every login.
    for (const { generation, expiresAt } of credentials) {
      if (generation === familyGrant.generation) credentialExpiresAt = expiresAt;
    }
    const grant = { ...familyGrant, credentialExpiresAt };
    const access = issueAccessToken(ring.signer(keys), grant, { issuedAt: at, jti: randomUUID() });
    return { access, refresh: refreshTokens.issue(grant, at) };
  }

  /**
   * Returns the client's current static token. The log holds the token's period (all of the token except the
   * signature), so the token is signed again. If there is no usable period, a new period is recorded before its token is
   * issued.
   */
  private async staticToken(
    client: ActiveClient,
    grant: TokenGrant,
    keys: SigningKeysState,
    at: Instant,
    correlationId: string,
  ): Promise<AccessToken> {
    const { generation, endpoint } = grant;
    const { ring } = this.dependencies;
    const current = currentStaticToken(client.tokens, generation, endpoint?.subscriptionId, at);
    // `keys` may be older than the client's state, and so may lack the key of the current period.
    const isOutdated = current && !ring.usableSigner(keys, current.kid);
    const newKeys = isOutdated ? await ring.state() : keys;
    const signer = current && ring.usableSigner(newKeys, current.kid);
    if (signer) return signStaticToken(current, signer, at);
    const period = await this.startPeriod(client, grant, newKeys, at, correlationId);
    // Another node may have recorded this period for a signing key that is newer than `newKeys`.
    const periodSigner = ring.usableSigner(newKeys, period.kid) ?? ring.signerOf(await ring.state(), period.kid);
    return signStaticToken(period, periodSigner, at);
  }

  private async startPeriod(
    { clientId, workspaceId, credentials }: ActiveClient,
    grant: TokenGrant,
    keys: SigningKeysState,
    at: Instant,
    correlationId: string,
  ) {
    const { book, ring } = this.dependencies;
    const credentialExpiresAt = credentials.find(({ generation }) => generation === grant.generation)?.expiresAt;
    const times = { issuedAt: at, jti: randomUUID() };
    const token = staticTokenPeriod({ ...grant, credentialExpiresAt }, ring.signer(keys), times);
    const context = internalContext({ via: 'login', subject: clientId, workspaceId, correlationId });
    try {
      const command = { type: 'IssueStaticToken', token, compromisedKids: compromisedKids(keys), at } as const;
      const { state } = await book.clients.execute(clientId, command, { context, isNew: true });
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
    return (outcome === 'NOT_ASSIGNED' ? unauthorizedClient() : invalidClient()).because(outcome);
  }
}

/** Why a refresh token is refused, for the counts. The bearer never learns the reason. */
function refreshRefusal(token: RefreshToken | undefined, grant: TokenGrant, at: Instant): UsageOutcome {
  if (token?.clientId !== grant.clientId) return 'BAD_SECRET';
  if (token.subscriptionId !== grant.endpoint?.subscriptionId) return 'NOT_ASSIGNED';
  return token.expiresAt <= epochSeconds(at) ? 'EXPIRED' : 'REVOKED';
}
