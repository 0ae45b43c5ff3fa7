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

interface Window {
  count: number;
  /** By `now`. */
  readonly endsAt: number;
}

/** Counts calls in a fixed window per key, which begins with the key's first call. */
export class RateLimit {
  private readonly windows: LRUCache<string, Window>;
  private readonly limit: number;
  private readonly windowMs: number;
  private readonly now: () => number;

  constructor({ limit, windowSeconds = 60, maxKeys = 50_000, now = () => performance.now() }: RateLimitOptions) {
    // By size, not `max`, which would take its tables at once.
    this.windows = new LRUCache({ maxSize: maxKeys, sizeCalculation: () => 1 });
    this.limit = limit;
    this.windowMs = windowSeconds * 1000;
    this.now = now;
  }

  /** Counts one call of `key`; `undefined` when the limit is off. */
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
    return this.stateOf(window, allowed, now);
  }

  /** How `key` stands where it has no call left, else `undefined`; counts nothing. */
  spent(key: string): RateLimitState | undefined {
    const now = this.now();
    const window = this.running(key, now);
    return window && window.count >= this.limit ? this.stateOf(window, false, now) : undefined;
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
