import {
  type ActiveClient,
  type EndpointUri,
  type Instant,
  type SubscriptionId,
  type SubscriptionState,
} from '#domain';
import { type Standing, type TokenRefusal, type VerifiedToken, standingOf } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';
import type { TokenStanding } from '../standing/token-standing.js';
import type { UsageRecorder } from '../usage/usage-recorder.js';
import { calledEndpoint } from './called-endpoint.js';
import { type ClientDirectory, subscriptionAt } from './client-directory.js';
import { SECRET_HEADER, headersLookedAt, soleHeaders } from './gateway-headers.js';
import { gatewaySecretCheck } from './gateway-secret.js';
import { presentedToken } from './presented-token.js';

/** What the check sees of a gateway's request, as it was sent. */
export interface CheckRequest {
  readonly rawHeaders: readonly string[];
  /** Of the check itself. */
  readonly target: string;
}

/** Why a call must not reach the provider, for gateways and their logs (`X-Auth-Code`). */
export type CheckRefusal = TokenRefusal | 'NO_TOKEN' | 'NOT_A_GATEWAY' | 'HEADER_REPEATED' | 'NOT_AN_ENDPOINT';

export type CheckAnswer =
  | { readonly code: 'GOOD'; readonly client: ActiveClient; readonly subscriptionId: SubscriptionId | undefined }
  | { readonly code: CheckRefusal };

/** Nothing that is still to come by can turn them: the log need not be asked. */
const FINAL: ReadonlySet<TokenRefusal> = new Set(['EXPIRED', 'NOT_YET_VALID', 'OTHER_ISSUER', 'CLIENT_NOT_ACTIVE']);

/** Decides on a call of an API: by the client directory while that is current, else by strong reads. */
export class GatewayCheck {
  private readonly lookedAt;
  private readonly isSecret;

  constructor(
    private readonly dependencies: Pick<AuthDependencies, 'book' | 'issuer' | 'now' | 'gateway'>,
    private readonly standing: TokenStanding,
    private readonly directory: ClientDirectory,
    private readonly usage: Pick<UsageRecorder, 'seen'>,
  ) {
    this.lookedAt = headersLookedAt(dependencies.gateway);
    this.isSecret = gatewaySecretCheck(dependencies.gateway.secret);
  }

  /** At once where all that decides is in memory. Throws `LogUnavailable`. */
  check({ rawHeaders, target }: CheckRequest): CheckAnswer | Promise<CheckAnswer> {
    const { uriFrom, tokenHeader } = this.dependencies.gateway;
    const headers = soleHeaders(rawHeaders, this.lookedAt);
    if (!headers) return { code: 'HEADER_REPEATED' };
    if (!this.isSecret(headers.get(SECRET_HEADER))) return { code: 'NOT_A_GATEWAY' };
    const uri = calledEndpoint(uriFrom, headers, target);
    if (uri === undefined) return { code: 'NOT_AN_ENDPOINT' };
    const token = presentedToken(headers, tokenHeader);
    if (token === undefined) return { code: 'NO_TOKEN' };
    const verified = this.standing.recalled(token);
    const at = this.dependencies.now();
    const known = verified && this.knownStanding(verified, uri, at);
    return known ? this.answerOf(known, at) : this.checkAnew(token, uri);
  }

  private async checkAnew(token: string, uri: EndpointUri): Promise<CheckAnswer> {
    const { directory } = this;
    const verified = await this.standing.verified(token);
    if (!verified) return { code: 'NOT_A_TOKEN' };
    const { sub } = verified.claims;
    if (directory.isCurrent() && !directory.states(sub, uri)) await directory.fill(sub, uri);
    const at = this.dependencies.now();
    const known = this.knownStanding(verified, uri, at);
    return this.answerOf(known ?? (await this.standing.of(verified, { subscription: this.subscriptionOf(uri) })), at);
  }

  /** By the directory; `undefined` where it can't tell. */
  private knownStanding(verified: VerifiedToken, uri: EndpointUri, at: Instant): Standing | undefined {
    const states = this.directory.states(verified.claims.sub, uri);
    const known = states && standingOf(verified, states, { issuer: this.dependencies.issuer, at });
    // A token or an assignment may be so new that the directory has not heard of it.
    return known && (known.active || FINAL.has(known.refusal)) ? known : undefined;
  }

  private answerOf(standing: Standing, at: Instant): CheckAnswer {
    if (!standing.active) return { code: standing.refusal };
    const { client, assignment } = standing;
    this.usage.seen(client.clientId, at);
    return { code: 'GOOD', client, subscriptionId: assignment?.subscriptionId };
  }

  /** The subscription that owns the endpoint URI: a strong read. */
  private async subscriptionOf(uri: EndpointUri): Promise<SubscriptionState> {
    const { endpointUris, subscriptions } = this.dependencies.book;
    const { state: claim } = await endpointUris.read(uri);
    if (claim.status === 'FREE') return { status: 'UNREGISTERED' };
    return subscriptionAt(uri, (await subscriptions.read(claim.subscriptionId)).state);
  }
}
