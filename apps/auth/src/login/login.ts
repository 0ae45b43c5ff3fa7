import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  type ActiveClient,
  type Assignment,
  DomainError,
  type Instant,
  type SigningKeysState,
  compromisedKids,
  currentStaticToken,
  isEndpointUri,
  momentOfIssue,
} from '#domain';
import { requireCommonClock } from '#event-log';
import {
  type AccessToken,
  type RefreshFamily,
  type TokenGrant,
  epochSeconds,
  isRefreshable,
  issueAccessToken,
  signStaticToken,
  staticTokenPeriod,
} from '#tokens';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import type { AuthenticatedClient } from '../oauth/client-authentication.js';
import { invalidClient, invalidGrant, unauthorizedClient } from '../oauth/oauth-error.js';
import { UsageRecorder } from '../usage/usage-recorder.js';

export interface IssuedTokens {
  readonly access: AccessToken;
  /** OAUTH2 clients' only. */
  readonly refreshToken?: string;
}

/** Logs clients in, on the event log alone: every stream that decides is read strongly, after the request came. */
@Injectable()
export class Login {
  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(UsageRecorder) private readonly usage: UsageRecorder,
  ) {}

  /** `refreshToken`: there where the login is a refresh. Throws `OAuthError`, `LogUnavailable`. */
  async login(
    { client, generation }: AuthenticatedClient,
    refreshToken: string | undefined,
    endpointUri: string | undefined,
    correlationId: string,
  ): Promise<IssuedTokens> {
    requireCommonClock(this.dependencies.book.log);
    const endpoint = endpointUri === undefined ? undefined : await this.endpointOf(client, endpointUri);
    const at = momentOfIssue(client, this.dependencies.now());
    const grant: TokenGrant = {
      issuer: this.dependencies.issuer,
      clientId: client.clientId,
      generation,
      ...(endpoint && { endpoint }),
    };
    const issued =
      client.authenticationType === 'API_KEY'
        ? { access: await this.staticToken(client, grant, at, correlationId) }
        : await this.tokenPair(this.familyGrant(grant, refreshToken, client, at), at);
    this.usage.seen(client.clientId, this.dependencies.now());
    return issued;
  }

  /** Of a new family, or of the one that the refresh token belongs to. */
  private familyGrant(
    grant: TokenGrant,
    refreshToken: string | undefined,
    client: ActiveClient,
    at: Instant,
  ): TokenGrant & { readonly family: RefreshFamily } {
    if (refreshToken === undefined) return { ...grant, family: { id: randomUUID(), startedAt: epochSeconds(at) } };
    const refreshed = this.dependencies.refreshTokens.open(refreshToken);
    if (!refreshed || !isRefreshable(refreshed, client, grant.endpoint?.subscriptionId, at)) throw invalidGrant();
    // Still of the generation that began the family: it ends with that generation's overlap.
    return { ...grant, generation: refreshed.generation, family: refreshed.family };
  }

  /** The client's assignment to the live subscription that owns the endpoint URI. */
  private async endpointOf(client: ActiveClient, uri: string): Promise<Assignment> {
    // Whatever stood in the path: what names no stream is asked of none.
    if (!isEndpointUri(uri)) throw unauthorizedClient();
    const { endpointUris, subscriptions } = this.dependencies.book;
    const { state: claim } = await endpointUris.read(uri);
    if (claim.status === 'FREE') throw unauthorizedClient();
    const { state: subscription } = await subscriptions.read(claim.subscriptionId);
    const assignment = client.subscriptions.get(claim.subscriptionId);
    if (subscription.status !== 'LIVE' || subscription.endpointUri !== uri || !assignment) throw unauthorizedClient();
    return assignment;
  }

  private async tokenPair(grant: TokenGrant & { family: RefreshFamily }, at: Instant): Promise<IssuedTokens> {
    const { ring, refreshTokens } = this.dependencies;
    const access = issueAccessToken(ring.signer(await ring.state()), grant, { issuedAt: at, jti: randomUUID() });
    return { access, refreshToken: refreshTokens.issue(grant, at) };
  }

  /** The current period's token, signed again; or the first of a new period, recorded before it is given out. */
  private async staticToken(
    client: ActiveClient,
    grant: TokenGrant,
    at: Instant,
    correlationId: string,
  ): Promise<AccessToken> {
    const { ring } = this.dependencies;
    const keys = await ring.state();
    const compromised = compromisedKids(keys);
    const scope = grant.endpoint?.subscriptionId;
    const current = currentStaticToken(client, grant.generation, scope, at);
    const period =
      current && !compromised.includes(current.kid)
        ? current
        : await this.startPeriod(client, grant, keys, at, correlationId);
    // Another node may have won the period with a key that is newer than what we read.
    const signer = ring.signerOf(period === current ? keys : await ring.state(), period.kid);
    return signStaticToken(period, signer, at);
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
    const commandId = randomUUID();
    const context = {
      commandId,
      commandHash: '',
      actor: { subject: clientId, roles: [], via: 'login' },
      workspaceId,
      correlationId,
      causationId: correlationId,
    };
    try {
      const command = { type: 'IssueStaticToken', token, compromisedKids: compromisedKids(keys), at } as const;
      const { state } = await book.clients.execute(clientId, command, context);
      const started =
        state.status === 'ACTIVE' && currentStaticToken(state, grant.generation, token.subscriptionId, at);
      if (!started) throw invalidClient();
      return started;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      throw error.code === 'client_not_assigned' ? unauthorizedClient() : invalidClient();
    }
  }
}
