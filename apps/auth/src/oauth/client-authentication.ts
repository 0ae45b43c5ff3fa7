import { Inject, Injectable } from '@nestjs/common';
import { hasGoodCheck } from '#credentials';
import { type ActiveClient, type AuthenticationType, goodCredentials, isClientId } from '#domain';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { AuthenticationLimits } from './authentication-limits.js';
import type { PresentedCredentials } from './presented-credentials.js';

/** A client that has proved who it is, with the generation that it did so with. */
export interface AuthenticatedClient {
  /** Read strongly, after the request came. */
  readonly client: ActiveClient;
  readonly generation: number;
  /** RateLimit headers of the answer, whatever it will be. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Tells who a client is by its id and secret (CREDENTIALS §2). */
@Injectable()
export class ClientAuthentication {
  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(AuthenticationLimits) private readonly limits: AuthenticationLimits,
  ) {}

  /**
   * `authenticationType` absent: clients of both types; `address` is the caller's. Unknown, revoked, of the other type,
   * or a wrong secret: one answer, and the same work. Throws `OAuthError`, `VerificationBusy`, `LogUnavailable`.
   */
  async authenticate(
    { clientId, secret }: PresentedCredentials,
    address: string,
    authenticationType?: AuthenticationType,
  ): Promise<AuthenticatedClient> {
    const { book, masterKeys, verifier, clock } = this.dependencies;
    if (!isClientId(clientId) || !hasGoodCheck(clientId, secret, masterKeys)) throw this.limits.madeUpRefusal(address);
    this.limits.requireLeft(clientId);
    const { state } = await book.clients.read(clientId);
    const at = clock().toISOString();
    const isCandidate =
      state.status === 'ACTIVE' && (authenticationType ?? state.authenticationType) === state.authenticationType;
    const credentials = isCandidate ? goodCredentials(state, at) : [];
    const generation = await verifier.verify(clientId, secret, credentials);
    if (!isCandidate || generation === undefined) throw this.limits.refusal(clientId);
    return { client: state, generation, headers: this.limits.countGood(clientId) };
  }
}
