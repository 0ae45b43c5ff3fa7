import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { hasGoodCheck } from '#credentials';
import {
  type ActiveClient,
  type Assignment,
  DomainError,
  type EndpointUri,
  type Instant,
  type SigningKeysState,
  compromisedKids,
  currentStaticToken,
  goodCredentials,
  isClientId,
} from '#domain';
import { type AccessToken, type TokenGrant, issueAccessToken, signStaticToken, staticTokenPeriod } from '#tokens';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { invalidClient, unauthorizedClient } from '../oauth-error.js';
import type { LoginRequest } from './login-request.js';

/** A client that has proved who it is, with the generation that it did so with. */
interface AuthenticatedClient {
  readonly client: ActiveClient;
  readonly generation: number;
}

/** Logs clients in, on the event log alone: every stream that decides is read strongly, after the request came. */
@Injectable()
export class Login {
  constructor(@Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies) {}

  /** Throws `OAuthError`, `VerificationBusy`, `LogUnavailable`. */
  async login(
    request: LoginRequest,
    endpointUri: EndpointUri | undefined,
    correlationId: string,
  ): Promise<AccessToken> {
    const authenticated = await this.authenticate(request);
    const { client, generation } = authenticated;
    const endpoint = endpointUri === undefined ? undefined : await this.endpointOf(client, endpointUri);
    const grant = {
      issuer: this.dependencies.issuer,
      clientId: client.clientId,
      generation,
      ...(endpoint && { endpoint }),
    };
    const at = this.dependencies.clock().toISOString();
    return client.authenticationType === 'API_KEY'
      ? this.staticToken(client, grant, at, correlationId)
      : this.accessToken(grant, at);
  }

  /** Unknown, revoked, of the other type, or a wrong secret: one answer, and the same work. */
  private async authenticate({ clientId, secret, authenticationType }: LoginRequest): Promise<AuthenticatedClient> {
    const { book, masterKeys, verifier, clock } = this.dependencies;
    if (!isClientId(clientId) || !hasGoodCheck(clientId, secret, masterKeys)) throw invalidClient();
    const { state } = await book.clients.read(clientId);
    const isCandidate = state.status === 'ACTIVE' && state.authenticationType === authenticationType;
    const credentials = isCandidate ? goodCredentials(state, clock().toISOString()) : [];
    const generation = await verifier.verify(clientId, secret, credentials);
    if (!isCandidate || generation === undefined) throw invalidClient();
    return { client: state, generation };
  }

  /** The client's assignment to the live subscription that owns the endpoint URI. */
  private async endpointOf(client: ActiveClient, uri: EndpointUri): Promise<Assignment> {
    const { endpointUris, subscriptions } = this.dependencies.book;
    const { state: claim } = await endpointUris.read(uri);
    if (claim.status === 'FREE') throw unauthorizedClient();
    const { state: subscription } = await subscriptions.read(claim.subscriptionId);
    const assignment = client.subscriptions.get(claim.subscriptionId);
    if (subscription.status !== 'LIVE' || subscription.endpointUri !== uri || !assignment) throw unauthorizedClient();
    return assignment;
  }

  private async accessToken(grant: TokenGrant, at: Instant): Promise<AccessToken> {
    const { ring } = this.dependencies;
    return issueAccessToken(ring.signer(await ring.state()), grant, { issuedAt: at, jti: randomUUID() });
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
