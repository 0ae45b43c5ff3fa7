import {
  type Configuration,
  networkOf,
  RateLimit,
  rateLimitHeaders,
  type RateLimitState,
  type Reading,
} from '#platform';
import { invalidClient, type OAuthError, tooManyRequests } from './oauth-error.js';

/**
 * Counts authentications of clients in three separate tables, so that nobody can use up the limit of somebody else:
 *
 * 1. Successful authentications are counted by client.
 * 2. A refused authentication is counted by client if the secret has a valid keyed check (a part that only this server
 *    can compute). The sender must have held a secret of this client at some time.
 * 3. All other refused authentications have made-up credentials and are counted by address. The limit of an address
 *    thus never affects a genuine client.
 */
export class AuthenticationLimits {
  readonly #good: RateLimit;
  readonly #refused: RateLimit;
  readonly #madeUp: RateLimit;

  constructor({ rateLimits }: Pick<Configuration, 'rateLimits'>) {
    const { loginPerClient, loginPerAddress } = rateLimits;
    this.#good = new RateLimit({ limit: loginPerClient });
    this.#refused = new RateLimit({ limit: loginPerClient });
    this.#madeUp = new RateLimit({ limit: loginPerAddress });
  }

  /** Number of requests that each limit has refused. */
  get refusals(): readonly Reading[] {
    return [
      { labels: { limit: 'client' }, value: this.#good.refusals },
      { labels: { limit: 'client_refused' }, value: this.#refused.refusals },
      { labels: { limit: 'address' }, value: this.#madeUp.refusals },
    ];
  }

  /**
   * Throws a 429 if the client has no successful authentications left, after a call of `refused`. Counts nothing. Called
   * before the secret is verified, because verifying is expensive.
   */
  requireLeft(clientId: string, refused?: () => void): void {
    const spent = this.#good.spent(clientId);
    if (!spent) return;
    refused?.();
    throw limited(spent);
  }

  /**
   * Counts a successful authentication. Returns the headers that state how many authentications are left. Throws a 429
   * if none was left, after a call of `refused`.
   */
  countGood(clientId: string, refused?: () => void): Readonly<Record<string, string>> {
    const state = this.#good.take(clientId);
    if (state?.allowed === false) {
      refused?.();
      throw limited(state);
    }
    return state ? rateLimitHeaders(state) : {};
  }

  /**
   * Counts a refused authentication whose secret has a valid keyed check (a part that only this server can compute).
   * Returns the error to throw.
   */
  refusal(clientId: string): OAuthError {
    return refusalBy(this.#refused.take(clientId));
  }

  /** Counts an authentication with made-up credentials. Returns the error to throw. */
  madeUpRefusal(address: string, refusal = invalidClient()): OAuthError {
    return refusalBy(this.#madeUp.take(networkOf(address)), refusal);
  }
}

/**
 * Returns the error for a refusal. A 401 does not state how many attempts are left, because the number would reveal the
 * reason of the refusal.
 */
const refusalBy = (state: RateLimitState | undefined, refusal = invalidClient()): OAuthError =>
  state?.allowed === false ? limited(state) : refusal;

const limited = (state: RateLimitState): OAuthError =>
  tooManyRequests(
    `More than ${state.limit} of these a minute; wait ${state.resetSeconds} s`,
    state.resetSeconds,
    rateLimitHeaders(state),
  ).because('RATE_LIMITED');
