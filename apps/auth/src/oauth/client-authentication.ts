import { Inject, Injectable } from '@nestjs/common';
import { type ActiveClient, type AuthenticationType, goodCredentials, isClientId } from '#domain';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { AuthenticationLimits } from './authentication-limits.js';
import type { OAuthRequest } from './oauth-route.js';
import type { PresentedCredentials } from './presented-credentials.js';

/** A client that has proved who it is, with the generation that it did so with. */
export interface AuthenticatedClient {
  /** Read strongly, after the request came. */
  readonly client: ActiveClient;
  readonly generation: number;
}

/** Tells who a client is by its id and secret. */
@Injectable()
export class ClientAuthentication {
  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(AuthenticationLimits) private readonly limits: AuthenticationLimits,
  ) {}

  /**
   * `authenticationType` absent: clients of both types. Unknown, revoked, of the other type, or a wrong secret: one
   * answer, and the same work. The answer's headers say what is left of the client's limit, whatever it will be.
   * Throws `OAuthError`, `VerificationBusy`, `LogUnavailable`.
   */
  async authenticate(
    { clientId, secret }: PresentedCredentials,
    { address, answerHeaders }: Pick<OAuthRequest, 'address' | 'answerHeaders'>,
    authenticationType?: AuthenticationType,
  ): Promise<AuthenticatedClient> {
    const { book, verifier, now } = this.dependencies;
    const offered = isClientId(clientId) && verifier.offered(clientId, secret);
    if (!offered) throw this.limits.madeUpRefusal(address());
    this.limits.requireLeft(clientId);
    const { state } = await book.clients.read(clientId);
    const at = now();
    const isCandidate =
      state.status === 'ACTIVE' && (authenticationType ?? state.authenticationType) === state.authenticationType;
    const credentials = isCandidate ? goodCredentials(state, at) : [];
    const generation = verifier.recall(offered, credentials) ?? (await verifier.verify(offered, credentials));
    if (!isCandidate || generation === undefined) throw this.limits.refusal(clientId);
    Object.assign(answerHeaders, this.limits.countGood(clientId));
    return { client: state, generation };
  }
}
