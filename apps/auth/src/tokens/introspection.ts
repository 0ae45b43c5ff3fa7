import type { ActiveClient, SubscriptionState, WorkspaceId } from '#domain';
import { loggedText } from '#platform';
import {
  type AccessTokenClaims,
  InvalidManagementToken,
  isRefreshable,
  type ManagementPrincipal,
  type ManagementTokenVerifier,
  type RefreshToken,
} from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import type { AuthenticationLimits } from '../http/authentication-limits.js';
import { insufficientScope, invalidToken } from '../http/oauth-error.js';
import type { OAuthEndpoint, OAuthRequest } from '../http/oauth-route.js';
import { required } from '../http/parameters.js';
import {
  type AuthenticatedClient,
  type ClientAuthentication,
  inOneWayOnly,
  presentedCredentials,
} from '../login/client-authentication.js';
import type { TokenStanding } from './token-standing.js';

/**
 * Whose tokens the caller may see. A client may see only its own tokens. The bearer of a management token may see the
 * tokens of one workspace, or of all workspaces.
 */
export type Visibility =
  | ({ readonly of: 'CLIENT' } & Pick<AuthenticatedClient, 'client' | 'keys'>)
  | { readonly of: 'WORKSPACE'; readonly workspaceId: WorkspaceId | undefined }
  | { readonly of: 'ALL' };

/**
 * The body of an answer (RFC 7662 §2.2), with some members of our own. A refresh token has neither `token_type` nor
 * `aud`, because only this server accepts refresh tokens.
 */
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

/**
 * Tells whether a token is valid now. The decision uses strong reads (which are never outdated) that begin after the
 * request has arrived.
 */
export class Introspection {
  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'refreshTokens' | 'issuer' | 'now'>,
    private readonly standing: TokenStanding,
  ) {}

  /**
   * Begins to read the subscription that a token names. Returns `undefined` if the token names none, or if an access
   * token was not verified before. An error concerns only those who await the result.
   */
  beginSubscriptionOf(token: string): Promise<SubscriptionState> | undefined {
    const { subscriptionId } = this.dependencies.refreshTokens.open(token) ?? {
      subscriptionId: this.standing.recalled(token)?.claims.subscription_id,
    };
    if (subscriptionId === undefined) return undefined;
    const reading = this.standing.subscription(subscriptionId);
    reading.catch(() => undefined);
    return reading;
  }

  /**
   * Returns the same answer for an invalid token as for a token that the caller may not see. `subscription` is what
   * `beginSubscriptionOf` returned, if it was called. Throws `LogUnavailable`.
   */
  async introspect(
    token: string,
    visibility: Visibility,
    subscription?: Promise<SubscriptionState>,
  ): Promise<IntrospectionAnswer> {
    const refreshToken = this.dependencies.refreshTokens.open(token);
    return refreshToken
      ? this.ofRefreshToken(refreshToken, visibility, subscription)
      : this.ofAccessToken(token, visibility, subscription);
  }

  private async ofAccessToken(
    token: string,
    visibility: Visibility,
    subscription: Promise<SubscriptionState> | undefined,
  ): Promise<IntrospectionAnswer> {
    const atHand = {
      ...(subscription && { subscription }),
      ...(visibility.of === 'CLIENT' && { client: visibility.client, keys: visibility.keys }),
    };
    const verified = await this.standing.verified(token, atHand.keys);
    if (!verified || isAnotherClients(verified.claims.sub, visibility)) return INACTIVE;
    const standing = await this.standing.of(verified, atHand);
    if (!standing.active || !isVisible(standing.client, visibility)) return INACTIVE;
    const { iss, sub, client_id, aud, iat, exp, jti, generation, subscription_id } = standing.claims;
    return {
      active: true,
      ...{ token_type: 'Bearer', iss, sub, client_id, aud, iat, exp, jti, generation },
      ...(subscription_id !== undefined && { subscription_id }),
      workspace_id: standing.client.workspaceId,
    };
  }

  private async ofRefreshToken(
    token: RefreshToken,
    visibility: Visibility,
    subscriptionRead: Promise<SubscriptionState> | undefined,
  ): Promise<IntrospectionAnswer> {
    const { book, issuer, now } = this.dependencies;
    const { clientId, generation, subscriptionId, issuedAt, expiresAt } = token;
    if (isAnotherClients(clientId, visibility)) return INACTIVE;
    const [client, subscription] = await Promise.all([
      visibility.of === 'CLIENT' ? visibility.client : book.clients.readUsable(clientId).then(({ state }) => state),
      subscriptionRead ?? (subscriptionId === undefined ? undefined : this.standing.subscription(subscriptionId)),
    ]);
    if (client.status !== 'ACTIVE' || !isVisible(client, visibility)) return INACTIVE;
    if (subscriptionId !== undefined) {
      if (subscription?.status !== 'LIVE' || !client.subscriptions.has(subscriptionId)) return INACTIVE;
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

interface IntrospectionParts {
  readonly introspection: Introspection;
  readonly authentication: ClientAuthentication;
  /** Counts made-up management tokens, in the same table as other made-up credentials. */
  readonly limits: AuthenticationLimits;
  readonly managementTokens: ManagementTokenVerifier | undefined;
}

/** `POST /oauth/introspect` (RFC 7662). The caller is an API_KEY or OAUTH2 client, or presents a management token. */
export function introspectionEndpoint({
  introspection,
  authentication,
  limits,
  managementTokens,
}: IntrospectionParts): OAuthEndpoint {
  const visibilityOf = async (request: OAuthRequest, alongside: { begin(): void }): Promise<Visibility> => {
    const { parameters, authorization } = request;
    const [, bearer] = BEARER.exec(authorization ?? '') ?? [];
    if (bearer === undefined) {
      const credentials = presentedCredentials(parameters, authorization);
      const { client, keys } = await authentication.authenticate(credentials, request, { alongside });
      return { of: 'CLIENT', client, keys };
    }
    if ('client_secret' in parameters || 'api-key' in parameters) throw inOneWayOnly();
    const principal = await principalOf(bearer, managementTokens);
    if (!principal) throw limits.madeUpRefusal(request.address(), invalidToken());
    const { scopes, anyWorkspace, workspaceId } = principal;
    Object.assign(request.facts, { workspaceId, subject: loggedText(principal.subject) });
    if (!scopes.has('tokens:introspect')) throw insufficientScope('tokens:introspect');
    return anyWorkspace ? { of: 'ALL' } : { of: 'WORKSPACE', workspaceId };
  };
  return async (request) => {
    const token = required(request.parameters, 'token');
    let subscription: Promise<SubscriptionState> | undefined;
    const begin = () => {
      subscription = introspection.beginSubscriptionOf(token);
    };
    const visibility = await visibilityOf(request, { begin });
    return JSON.stringify(await introspection.introspect(token, visibility, subscription));
  };
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;

async function principalOf(
  bearer: string,
  managementTokens: ManagementTokenVerifier | undefined,
): Promise<ManagementPrincipal | undefined> {
  // The administrator's token is the only management token without a dot. Only `/v1`, the management API, accepts the
  // administrator's token.
  if (!managementTokens || !bearer.includes('.')) return undefined;
  try {
    return await managementTokens.verify(bearer);
  } catch (error) {
    if (error instanceof InvalidManagementToken) return undefined;
    throw error;
  }
}
