import { LRUCache } from 'lru-cache';
import { Problem } from './problem.js';

/** How much of a key's window is left. */
export interface RateLimitState {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Whole seconds until the window ends, at least 1. */
  readonly resetSeconds: number;
}

export interface RateLimitOptions {
  /** Calls a window and key; 0 switches the limit off. */
  readonly limit: number;
  /** Default 60. */
  readonly windowSeconds?: number;
  /** Keys remembered at most (default 50,000); the least recently seen is forgotten, so a full table denies no one. */
  readonly maxKeys?: number;
  /** Monotonic milliseconds (default `performance.now`). */
  readonly now?: () => number;
}

/** Counts calls in a fixed window per key, which begins with the key's first call. */
export class RateLimit {
  private readonly windows: LRUCache<string, { count: number; readonly endsAt: number }>;
  private readonly limit: number;
  private readonly windowMs: number;
  private readonly now: () => number;

  constructor({ limit, windowSeconds = 60, maxKeys = 50_000, now = () => performance.now() }: RateLimitOptions) {
    this.windows = new LRUCache({ max: maxKeys });
    this.limit = limit;
    this.windowMs = windowSeconds * 1000;
    this.now = now;
  }

  /** Counts one call of `key`; `undefined` when the limit is off. */
  take(key: string): RateLimitState | undefined {
    if (this.limit === 0) return undefined;
    const now = this.now();
    let window = this.windows.get(key);
    if (!window || window.endsAt <= now) {
      window = { count: 0, endsAt: now + this.windowMs };
      this.windows.set(key, window);
    }
    const allowed = window.count < this.limit;
    if (allowed) window.count += 1;
    return {
      allowed,
      limit: this.limit,
      remaining: this.limit - window.count,
      resetSeconds: Math.max(1, Math.ceil((window.endsAt - now) / 1000)),
    };
  }
}

/** `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds), as draft-ietf-httpapi-ratelimit-headers-06 has them. */
export const rateLimitHeaders = (state: RateLimitState): Record<string, string> => ({
  'RateLimit-Limit': String(state.limit),
  'RateLimit-Remaining': String(state.remaining),
  'RateLimit-Reset': String(state.resetSeconds),
});

/** 429 `RATE_LIMITED` with `Retry-After` (RFC 6585 §4). */
export const rateLimited = (state: RateLimitState): Problem =>
  new Problem(429, 'RATE_LIMITED', `More than ${state.limit} requests; wait ${state.resetSeconds} s`, {
    headers: { ...rateLimitHeaders(state), 'Retry-After': String(state.resetSeconds) },
  });
