import { Inject, Injectable } from '@nestjs/common';
import type { ActiveClient, WorkspaceId } from '#domain';
import { type AccessTokenClaims, type RefreshToken, isRefreshable } from '#tokens';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';
import { TokenStanding } from '../standing/token-standing.js';

/** Whose tokens the caller may see: a client its own, the management's callers a workspace's or all. */
export type Visibility =
  | { readonly of: 'CLIENT'; readonly client: ActiveClient }
  | { readonly of: 'WORKSPACE'; readonly workspaceId: WorkspaceId | undefined }
  | { readonly of: 'ALL' };

/** RFC 7662 §2.2, and members of our own. A refresh token has neither `token_type` nor `aud`: it is for us alone. */
export type IntrospectionAnswer =
  | { readonly active: false }
  | (Pick<AccessTokenClaims, 'iss' | 'sub' | 'client_id' | 'iat' | 'exp' | 'generation' | 'subscription_id'> & {
      readonly active: true;
      readonly aud?: string;
      readonly jti?: string;
      readonly token_type?: 'Bearer';
      readonly workspace_id: WorkspaceId;
    });

const INACTIVE: IntrospectionAnswer = { active: false };

/** Says whether a token is good now, by strong reads after the request came. */
@Injectable()
export class Introspection {
  constructor(
    @Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies,
    @Inject(TokenStanding) private readonly standing: TokenStanding,
  ) {}

  /** One answer for whatever is not good, or not the caller's to see. Throws `LogUnavailable`. */
  async introspect(token: string, visibility: Visibility): Promise<IntrospectionAnswer> {
    const refreshToken = this.dependencies.refreshTokens.open(token);
    return refreshToken ? this.ofRefreshToken(refreshToken, visibility) : this.ofAccessToken(token, visibility);
  }

  private async ofAccessToken(token: string, visibility: Visibility): Promise<IntrospectionAnswer> {
    const verified = await this.standing.verified(token);
    if (!verified || isAnotherClients(verified.claims.sub, visibility)) return INACTIVE;
    const standing = await this.standing.of(verified, visibility.of === 'CLIENT' ? { client: visibility.client } : {});
    if (!standing.active || !isVisible(standing.client, visibility)) return INACTIVE;
    const { iss, sub, client_id, aud, iat, exp, jti, generation, subscription_id } = standing.claims;
    return {
      active: true,
      ...{ token_type: 'Bearer', iss, sub, client_id, aud, iat, exp, jti, generation },
      ...(subscription_id !== undefined && { subscription_id }),
      workspace_id: standing.client.workspaceId,
    };
  }

  private async ofRefreshToken(token: RefreshToken, visibility: Visibility): Promise<IntrospectionAnswer> {
    const { book, issuer, now } = this.dependencies;
    const { clientId, generation, subscriptionId, issuedAt, expiresAt } = token;
    if (isAnotherClients(clientId, visibility)) return INACTIVE;
    const client = visibility.of === 'CLIENT' ? visibility.client : (await book.clients.read(clientId)).state;
    if (client.status !== 'ACTIVE' || !isVisible(client, visibility)) return INACTIVE;
    if (subscriptionId !== undefined) {
      const { state: subscription } = await book.subscriptions.read(subscriptionId);
      if (subscription.status !== 'LIVE' || !client.subscriptions.has(subscriptionId)) return INACTIVE;
    }
    if (!isRefreshable(token, client, subscriptionId, now())) return INACTIVE;
    return {
      active: true,
      ...{ iss: issuer, sub: clientId, client_id: clientId, iat: issuedAt, exp: expiresAt, generation },
      ...(subscriptionId !== undefined && { subscription_id: subscriptionId }),
      workspace_id: client.workspaceId,
    };
  }
}

const isAnotherClients = (clientId: string, visibility: Visibility): boolean =>
  visibility.of === 'CLIENT' && visibility.client.clientId !== clientId;

const isVisible = ({ workspaceId }: ActiveClient, visibility: Visibility): boolean =>
  visibility.of !== 'WORKSPACE' || visibility.workspaceId === workspaceId;
