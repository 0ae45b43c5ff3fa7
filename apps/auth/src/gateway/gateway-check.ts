import { type ActiveClient, type EndpointUri, type SubscriptionId, type SubscriptionState } from '#domain';
import { type Standing, type TokenRefusal, type VerifiedToken, standingOf } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import type { TokenStanding } from '../standing/token-standing.js';
import { calledEndpoint } from './called-endpoint.js';
import { type ClientDirectory, subscriptionAt } from './client-directory.js';
import { SECRET_HEADER, headersLookedAt, soleHeaders } from './gateway-headers.js';
import { gatewaySecretCheck } from './gateway-secret.js';
import { presentedToken } from './presented-token.js';

/** What the check sees of a gateway's request, as it was sent. */
export interface CheckRequest {
  readonly rawHeaders: readonly string[];
  readonly url: string;
}

/** Why a call must not reach the provider, for gateways and their logs (`X-Auth-Code`). */
export type CheckRefusal = TokenRefusal | 'NO_TOKEN' | 'NOT_A_GATEWAY' | 'HEADER_REPEATED' | 'NOT_AN_ENDPOINT';

export type CheckAnswer =
  | { readonly code: 'GOOD'; readonly client: ActiveClient; readonly subscriptionId: SubscriptionId | undefined }
  | { readonly code: CheckRefusal };

/** Nothing that is still to come by can turn them: the log need not be asked. */
const FINAL: ReadonlySet<TokenRefusal> = new Set(['EXPIRED', 'NOT_YET_VALID', 'OTHER_ISSUER', 'CLIENT_NOT_ACTIVE']);

/** Decides on a call of an API: by the client directory while that is current, else by strong reads (CREDENTIALS §7). */
export class GatewayCheck {
  private readonly lookedAt;
  private readonly isSecret;

  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'issuer' | 'clock' | 'gateway'>,
    private readonly standing: TokenStanding,
    private readonly directory: ClientDirectory,
  ) {
    this.lookedAt = headersLookedAt(dependencies.gateway);
    this.isSecret = gatewaySecretCheck(dependencies.gateway.secret);
  }

  /** Throws `LogUnavailable`. */
  async check({ rawHeaders, url }: CheckRequest): Promise<CheckAnswer> {
    const { uriFrom, tokenHeader } = this.dependencies.gateway;
    const headers = soleHeaders(rawHeaders, this.lookedAt);
    if (!headers) return { code: 'HEADER_REPEATED' };
    if (!this.isSecret(headers.get(SECRET_HEADER))) return { code: 'NOT_A_GATEWAY' };
    const uri = calledEndpoint(uriFrom, headers, url);
    if (uri === undefined) return { code: 'NOT_AN_ENDPOINT' };
    const token = presentedToken(headers, tokenHeader);
    if (token === undefined) return { code: 'NO_TOKEN' };
    const verified = await this.standing.verified(token);
    if (!verified) return { code: 'NOT_A_TOKEN' };
    const standing = await this.standingAt(uri, verified);
    return standing.active
      ? { code: 'GOOD', client: standing.client, subscriptionId: standing.assignment?.subscriptionId }
      : { code: standing.refusal };
  }

  private async standingAt(uri: EndpointUri, verified: VerifiedToken): Promise<Standing> {
    const known = await this.standingByDirectory(uri, verified);
    // A token or an assignment may be so new that the directory has not heard of it.
    if (known && (known.active || FINAL.has(known.refusal))) return known;
    return this.standing.of(verified, { subscription: this.subscriptionOf(uri) });
  }

  /** `undefined`: the directory can't tell. */
  private async standingByDirectory(uri: EndpointUri, verified: VerifiedToken): Promise<Standing | undefined> {
    const { directory } = this;
    const { issuer, clock } = this.dependencies;
    const { sub } = verified.claims;
    let states = directory.states(sub, uri);
    if (!states && directory.isCurrent()) {
      await directory.fill(sub, uri);
      states = directory.states(sub, uri);
    }
    return states && standingOf(verified, states, { issuer, at: clock().toISOString() });
  }

  /** The subscription that owns the endpoint URI: a strong read. */
  private async subscriptionOf(uri: EndpointUri): Promise<SubscriptionState> {
    const { endpointUris, subscriptions } = this.dependencies.book;
    const { state: claim } = await endpointUris.read(uri);
    if (claim.status === 'FREE') return { status: 'UNREGISTERED' };
    return subscriptionAt(uri, (await subscriptions.read(claim.subscriptionId)).state);
  }
}
