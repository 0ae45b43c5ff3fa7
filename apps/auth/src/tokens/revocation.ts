import type { ActiveClient, Instant, IssuedToken, RevokedToken } from '#domain';
import { internalContext, requireCommonClock } from '#event-log';
import { familyEnd, familyOf, instantOf, isCompromised, isFamilyRevoked, type RefreshFamily } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import { invalidGrant } from '../http/oauth-error.js';
import type { OAuthEndpoint } from '../http/oauth-route.js';
import { required } from '../http/parameters.js';
import {
  type AuthenticatedClient,
  type ClientAuthentication,
  presentedCredentials,
} from '../login/client-authentication.js';
import type { TokenStanding } from './token-standing.js';

/** What a revocation needs to know about the presented token. */
interface Revocable {
  readonly clientId: string;
  readonly generation: number;
  readonly family: RefreshFamily | undefined;
  readonly token: RevokedToken & IssuedToken;
}

/** Revokes tokens (RFC 7009) by appending an event to the client's own stream. */
export class Revocation {
  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'refreshTokens' | 'now'>,
    private readonly standing: TokenStanding,
  ) {}

  /**
   * Resolves when no node accepts the token any more. Also resolves for a text that never was a token. Throws
   * `OAuthError` if the token belongs to another client (RFC 7009 §2.1), and `DomainError` if this client revoked too
   * many tokens within a minute. Also throws `ClockApart`, `LogUnavailable`, `RevisionConflict`.
   */
  async revoke(token: string, caller: AuthenticatedClient, correlationId: string): Promise<void> {
    const { client } = caller;
    const revocable = this.refreshFamily(token) ?? (await this.accessToken(token, caller));
    if (!revocable) return;
    if (revocable.clientId !== client.clientId) throw invalidGrant();
    requireCommonClock(this.dependencies.book.log);
    const at = this.dependencies.now();
    if (!isRefusedForEver(revocable, client)) await this.append(revocable.token, at, client, correlationId);
  }

  private refreshFamily(token: string): Revocable | undefined {
    const opened = this.dependencies.refreshTokens.open(token);
    if (!opened) return undefined;
    const { clientId, generation, family, tokenEpoch: epoch } = opened;
    const [issuedAt, expiresAt] = [instantOf(family.startedAt), instantOf(familyEnd(family))];
    return {
      clientId,
      generation,
      family,
      token: { kind: 'REFRESH_FAMILY', tokenId: family.id, issuedAt, expiresAt, epoch },
    };
  }

  private async accessToken(token: string, { client, keys }: AuthenticatedClient): Promise<Revocable | undefined> {
    const verified = await this.standing.verified(token, keys);
    if (!verified || isCompromised(await keys, verified.kid)) return undefined;
    const { claims } = verified;
    const { sub: clientId, generation, jti: tokenId, token_epoch: epoch } = claims;
    const kind = client.authenticationType === 'API_KEY' ? 'STATIC_TOKEN' : 'ACCESS_TOKEN';
    const [issuedAt, expiresAt] = [instantOf(claims.iat), instantOf(claims.exp)];
    return { clientId, generation, family: familyOf(claims), token: { kind, tokenId, issuedAt, expiresAt, epoch } };
  }

  private async append(
    token: Revocable['token'],
    at: Instant,
    client: ActiveClient,
    correlationId: string,
  ): Promise<void> {
    const { clientId, workspaceId } = client;
    const command = { type: 'RevokeToken', ...token, at } as const;
    const context = internalContext({ via: 'oauth/revoke', subject: clientId, workspaceId, correlationId });
    await this.dependencies.book.clients.execute(clientId, command, { context, isNew: true });
  }
}

/**
 * Whether all nodes refuse the token for ever, so that no event is needed. There are two reasons: the client no longer
 * has the generation of its secret to which the token belongs, or it is an access token whose refresh family is revoked.
 * (Whether a refresh token's own family is revoked is decided by the client's stream.) No time is a reason, since a clock may be ahead: a token that seems to have expired would be good again as soon as the clock is
 * corrected. An ended assignment is no reason, because the client may be assigned again.
 */
const isRefusedForEver = ({ generation, family, token }: Revocable, client: ActiveClient): boolean =>
  !client.credentials.some((credential) => credential.generation === generation) ||
  (token.kind === 'ACCESS_TOKEN' && family !== undefined && isFamilyRevoked(client, family, token.epoch));

interface RevocationParts {
  readonly revocation: Revocation;
  readonly authentication: ClientAuthentication;
}

/**
 * `POST /oauth/revoke` (RFC 7009), for API_KEY and OAUTH2 clients. `token_type_hint` is ignored, because the token
 * itself shows its type.
 */
export const revocationEndpoint =
  ({ revocation, authentication }: RevocationParts): OAuthEndpoint =>
  async (request) => {
    const { parameters, authorization, id } = request;
    const token = required(parameters, 'token');
    const caller = await authentication.authenticate(presentedCredentials(parameters, authorization), request);
    await revocation.revoke(token, caller, id);
    return undefined;
  };
