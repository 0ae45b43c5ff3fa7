import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { type ActiveClient, DomainError, type Instant, type RevokeToken, goodCredentials, slowestClock } from '#domain';
import { requireCommonClock } from '#event-log';
import { type RefreshFamily, familyEnd, familyOf, instantOf, isCompromised, isFamilyRevoked } from '#tokens';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { invalidGrant, tooManyRequests } from '../oauth/oauth-error.js';
import { TokenStanding } from '../standing/token-standing.js';

/** What a token's revocation is about. */
interface Revocable {
  readonly clientId: string;
  readonly generation: number;
  readonly family: RefreshFamily | undefined;
  readonly token: Pick<RevokeToken, 'kind' | 'tokenId' | 'issuedAt' | 'expiresAt'>;
}

/** Ends tokens by an event in their client's own stream (RFC 7009). */
@Injectable()
export class Revocation {
  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(TokenStanding) private readonly standing: TokenStanding,
  ) {}

  /**
   * Resolves when no node accepts the token any more, be it that it wasn't one. `client` is its authenticated state.
   * Throws `OAuthError` (another client's token: RFC 7009 §2.1), `ClockApart`, `LogUnavailable`, `RevisionConflict`.
   */
  async revoke(token: string, client: ActiveClient, correlationId: string): Promise<void> {
    const revocable = this.refreshFamily(token) ?? (await this.accessToken(token, client));
    if (!revocable) return;
    if (revocable.clientId !== client.clientId) throw invalidGrant();
    requireCommonClock(this.dependencies.book.log);
    const at = this.dependencies.now();
    if (!isRefusedForEver(revocable, client, at)) {
      await this.append({ type: 'RevokeToken', ...revocable.token, at }, client, correlationId);
    }
  }

  private refreshFamily(token: string): Revocable | undefined {
    const { clientId, generation, family } = this.dependencies.refreshTokens.open(token) ?? {};
    if (clientId === undefined || generation === undefined || !family) return undefined;
    const [issuedAt, expiresAt] = [instantOf(family.startedAt), instantOf(familyEnd(family))];
    return { clientId, generation, family, token: { kind: 'REFRESH_FAMILY', tokenId: family.id, issuedAt, expiresAt } };
  }

  private async accessToken(token: string, { authenticationType }: ActiveClient): Promise<Revocable | undefined> {
    const verified = await this.standing.verified(token);
    if (!verified || isCompromised(await this.dependencies.ring.state(), verified.kid)) return undefined;
    const { claims } = verified;
    const { sub: clientId, generation, jti: tokenId } = claims;
    const kind = authenticationType === 'API_KEY' ? 'STATIC_TOKEN' : 'ACCESS_TOKEN';
    const [issuedAt, expiresAt] = [instantOf(claims.iat), instantOf(claims.exp)];
    return { clientId, generation, family: familyOf(claims), token: { kind, tokenId, issuedAt, expiresAt } };
  }

  private async append(command: RevokeToken, client: ActiveClient, correlationId: string): Promise<void> {
    const { clientId, workspaceId } = client;
    const actor = { subject: clientId, roles: [], via: 'oauth/revoke' };
    const ids = { commandId: randomUUID(), commandHash: '', correlationId, causationId: correlationId };
    try {
      await this.dependencies.book.clients.execute(clientId, command, { ...ids, actor, workspaceId });
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'too_many_token_revocations') throw error;
      throw tooManyRequests(error.message, 60);
    }
  }
}

/**
 * What has expired by every clock, an ended generation and a revoked family never come back. An assignment may, so its
 * token is revoked all the same.
 */
const isRefusedForEver = ({ generation, family, token }: Revocable, client: ActiveClient, at: Instant): boolean =>
  token.expiresAt <= slowestClock(at) ||
  !goodCredentials(client, slowestClock(at)).some((good) => good.generation === generation) ||
  (family !== undefined && isFamilyRevoked(client, family));
