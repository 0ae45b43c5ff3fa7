import { LRUCache } from 'lru-cache';
import { Problem } from './problem.js';

/** The state of a key's current window after a call. */
export interface RateLimitState {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Number of whole seconds until the window ends, at least 1. */
  readonly resetSeconds: number;
}

export interface RateLimitOptions {
  /** Permitted number of calls per key and window. 0 switches the limit off. */
  readonly limit: number;
  /** Length of a window in seconds (default 60). */
  readonly windowSeconds?: number;
  /**
   * Maximum number of keys in memory (default 50,000). A full table forgets its least recently seen key, so no call is
   * ever refused for lack of space.
   */
  readonly maxKeys?: number;
  /** Returns the time of a monotonic clock, in ms (default `performance.now`). */
  readonly now?: () => number;
}

interface Window {
  count: number;
  /** The end of the window, in ms of the clock `now`. */
  readonly endsAt: number;
}

/**
 * Limits the number of calls per key and window. A key's window begins with the key's first call and has a fixed
 * length.
 */
export class RateLimit {
  /** Number of calls that were refused since the start of the process. */
  refusals = 0;
  private readonly windows: LRUCache<string, Window>;
  private readonly limit: number;
  private readonly windowMs: number;
  private readonly now: () => number;

  constructor({ limit, windowSeconds = 60, maxKeys = 50_000, now = () => performance.now() }: RateLimitOptions) {
    // We use `maxSize`, since `max` would allocate the whole table at once.
    this.windows = new LRUCache({ maxSize: maxKeys, sizeCalculation: () => 1 });
    this.limit = limit;
    this.windowMs = windowSeconds * 1000;
    this.now = now;
  }

  /** Counts one call for `key`. Returns `undefined` if the limit is switched off. */
  take(key: string): RateLimitState | undefined {
    if (this.limit === 0) return undefined;
    const now = this.now();
    let window = this.running(key, now);
    if (!window) {
      window = { count: 0, endsAt: now + this.windowMs };
      this.windows.set(key, window);
    }
    const allowed = window.count < this.limit;
    if (allowed) window.count += 1;
    else this.refusals += 1;
    return this.stateOf(window, allowed, now);
  }

  /**
   * Returns the state of `key` if the key has no calls left, and otherwise `undefined`. The caller is to refuse the call
   * if there is a state. Uses up no call.
   */
  spent(key: string): RateLimitState | undefined {
    const now = this.now();
    const window = this.running(key, now);
    if (!window || window.count < this.limit) return undefined;
    this.refusals += 1;
    return this.stateOf(window, false, now);
  }

  private running(key: string, now: number): Window | undefined {
    const window = this.windows.get(key);
    return window && window.endsAt > now ? window : undefined;
  }

  private stateOf({ count, endsAt }: Window, allowed: boolean, now: number): RateLimitState {
    const resetSeconds = Math.max(1, Math.ceil((endsAt - now) / 1000));
    return { allowed, limit: this.limit, remaining: this.limit - count, resetSeconds };
  }
}

/** The metric to which each part of a process adds the refusals of its limits, by `limit`. */
export const RATE_LIMITED = {
  type: 'counter',
  name: 'rate_limited_total',
  help: 'Requests that were refused because a limit was used up',
} as const;

/**
 * The headers `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (in seconds) of
 * draft-ietf-httpapi-ratelimit-headers-06.
 */
export const rateLimitHeaders = (state: RateLimitState): Record<string, string> => ({
  'RateLimit-Limit': String(state.limit),
  'RateLimit-Remaining': String(state.remaining),
  'RateLimit-Reset': String(state.resetSeconds),
});

/** A 429 answer with the code `RATE_LIMITED` and the header `Retry-After` (RFC 6585 §4). */
export const rateLimited = (state: RateLimitState): Problem =>
  new Problem(429, 'RATE_LIMITED', `More than ${state.limit} requests; wait ${state.resetSeconds} s`, {
    headers: { ...rateLimitHeaders(state), 'Retry-After': String(state.resetSeconds) },
  });
