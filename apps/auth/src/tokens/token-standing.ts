import type { ConsumerClientState, SigningKeysState, SubscriptionId, SubscriptionState } from '#domain';
import { type Standing, standingOf, TokenVerifier, type VerifiedToken } from '#tokens';
import type { AuthDependencies } from '../dependencies.js';

/** States that were read for this request by strong reads, which are never outdated. They need not be read again. */
export interface StatesAtHand {
  readonly client?: ConsumerClientState | Promise<ConsumerClientState>;
  /** The subscription for which the token is used. If absent, the subscription that the token itself names is read. */
  readonly subscription?: SubscriptionState | Promise<SubscriptionState>;
  readonly keys?: SigningKeysState | Promise<SigningKeysState>;
}

/**
 * Tells whether a presented token is valid now. The token's client, its subscription and the signing keys are read
 * strongly (and so are not outdated), after the request has arrived. A caller that has these states from elsewhere uses
 * `recalled`, `verified` and the pure function `standingOf` instead.
 */
export class TokenStanding {
  private known: TokenVerifier | undefined;

  constructor(private readonly dependencies: Pick<AuthDependencies, 'book' | 'ring' | 'issuer' | 'now'>) {}

  /** Throws `LogUnavailable` until the event log is open. */
  private get verifier(): TokenVerifier {
    return (this.known ??= new TokenVerifier(this.dependencies.ring));
  }

  /**
   * Returns the token's claims if this token was verified before. Throws `LogUnavailable` until the event log is open.
   */
  recalled(token: string): VerifiedToken | undefined {
    return this.verifier.recall(token);
  }

  /**
   * Returns the token's claims if the token's form and signature are valid. Checks nothing else. Throws
   * `LogUnavailable`.
   */
  async verified(token: string, keys?: StatesAtHand['keys']): Promise<VerifiedToken | undefined> {
    return this.recalled(token) ?? this.verifier.verify(token, await (keys ?? this.dependencies.ring.state()));
  }

  /** Judges whether a verified token is valid now. Throws `LogUnavailable`. */
  async of(verified: VerifiedToken, atHand: StatesAtHand = {}): Promise<Standing> {
    const { ring, issuer, now } = this.dependencies;
    const { subscription_id: subscriptionId } = verified.claims;
    const [client, subscription, keys] = await Promise.all([
      atHand.client ?? this.client(verified),
      atHand.subscription ?? (subscriptionId === undefined ? undefined : this.subscription(subscriptionId)),
      atHand.keys ?? ring.state(),
    ]);
    return standingOf(verified, { client, subscription, keys }, { issuer, at: now() });
  }

  private async client({ claims }: VerifiedToken): Promise<ConsumerClientState> {
    return (await this.dependencies.book.clients.readUsable(claims.sub)).state;
  }

  /** Returns the state of a subscription that a token names. Throws `LogUnavailable`. */
  async subscription(id: SubscriptionId): Promise<SubscriptionState> {
    return (await this.dependencies.book.subscriptions.readUsable(id)).state;
  }
}
