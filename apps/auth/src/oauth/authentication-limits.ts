import { Inject, Injectable } from '@nestjs/common';
import {
  CONFIGURATION,
  type Configuration,
  RateLimit,
  type RateLimitState,
  networkOf,
  rateLimitHeaders,
} from '#platform';
import { type OAuthError, invalidClient, tooManyRequests } from './oauth-error.js';

/**
 * Counts authentications of clients, each kind in a table of its own, so that nobody spends what is
 * another's: good ones by client; refused ones with a good check, of someone who once held a secret of the client, by
 * client too; made-up ones by address. Only what was refused anyway is refused for an address.
 */
@Injectable()
export class AuthenticationLimits {
  readonly #good: RateLimit;
  readonly #refused: RateLimit;
  readonly #madeUp: RateLimit;

  constructor(@Inject(CONFIGURATION) { rateLimits }: Pick<Configuration, 'rateLimits'>) {
    const { loginPerClient, loginPerAddress } = rateLimits;
    this.#good = new RateLimit({ limit: loginPerClient });
    this.#refused = new RateLimit({ limit: loginPerClient });
    this.#madeUp = new RateLimit({ limit: loginPerAddress });
  }

  /** Before any work is done for a client: throws 429 when all its good authentications were used. Counts nothing. */
  requireLeft(clientId: string): void {
    const spent = this.#good.spent(clientId);
    if (spent) throw limited(spent);
  }

  /** Counts a good authentication; answers the headers that say what is left. Throws 429. */
  countGood(clientId: string): Readonly<Record<string, string>> {
    const state = this.#good.take(clientId);
    if (state?.allowed === false) throw limited(state);
    return state ? rateLimitHeaders(state) : {};
  }

  /** Counts a refusal behind a good check; answers it. */
  refusal(clientId: string): OAuthError {
    return refusalBy(this.#refused.take(clientId));
  }

  /** Counts credentials without a good check; answers their refusal. */
  madeUpRefusal(address: string, refusal = invalidClient()): OAuthError {
    return refusalBy(this.#madeUp.take(networkOf(address)), refusal);
  }
}

/** A 401 says nothing of what is left: it would tell one reason from another. */
const refusalBy = (state: RateLimitState | undefined, refusal = invalidClient()): OAuthError =>
  state?.allowed === false ? limited(state) : refusal;

const limited = (state: RateLimitState): OAuthError =>
  tooManyRequests(
    `More than ${state.limit} of these a minute; wait ${state.resetSeconds} s`,
    state.resetSeconds,
    rateLimitHeaders(state),
  );
