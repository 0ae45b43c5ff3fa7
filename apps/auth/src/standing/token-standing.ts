import { Inject, Injectable } from '@nestjs/common';
import type { ConsumerClientState, SubscriptionState } from '#domain';
import { type Standing, TokenVerifier, type VerifiedToken, standingOf } from '#tokens';
import { type AuthDependencies, DEPENDENCIES } from '../dependencies.js';

/** What the caller reads strongly for this very request anyway. */
export interface StatesAtHand {
  readonly client?: ConsumerClientState | Promise<ConsumerClientState>;
  /** Of the subscription that the token is used for; absent: the one that it names, if any, is read. */
  readonly subscription?: SubscriptionState | Promise<SubscriptionState>;
}

/**
 * Whether a presented token is good now: its client, its subscription and the signing keys are read strongly, after the
 * request came. A check on other states takes `verifier` and the pure `standingOf`.
 */
@Injectable()
export class TokenStanding {
  private known: TokenVerifier | undefined;

  constructor(@Inject(DEPENDENCIES) private readonly dependencies: AuthDependencies) {}

  /** Throws `LogUnavailable` until the event log is there. */
  get verifier(): TokenVerifier {
    return (this.known ??= new TokenVerifier(this.dependencies.ring));
  }

  /** The token where it was verified before. Throws `LogUnavailable` until the event log is there. */
  recalled(token: string): VerifiedToken | undefined {
    return this.verifier.recall(token);
  }

  /** What the token says, where form and signature are good; no more is known of it then. Throws `LogUnavailable`. */
  async verified(token: string): Promise<VerifiedToken | undefined> {
    return this.recalled(token) ?? this.verifier.verify(token, await this.dependencies.ring.state());
  }

  /** Throws `LogUnavailable`. */
  async of(verified: VerifiedToken, atHand: StatesAtHand = {}): Promise<Standing> {
    const { ring, issuer, now } = this.dependencies;
    const [client, subscription, keys] = await Promise.all([
      atHand.client ?? this.client(verified),
      atHand.subscription ?? this.subscription(verified),
      ring.state(),
    ]);
    return standingOf(verified, { client, subscription, keys }, { issuer, at: now() });
  }

  private async client({ claims }: VerifiedToken): Promise<ConsumerClientState> {
    return (await this.dependencies.book.clients.read(claims.sub)).state;
  }

  private async subscription({ claims }: VerifiedToken): Promise<SubscriptionState | undefined> {
    const { subscription_id: id } = claims;
    return id === undefined ? undefined : (await this.dependencies.book.subscriptions.read(id)).state;
  }
}
