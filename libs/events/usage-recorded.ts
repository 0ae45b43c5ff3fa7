import type { ClientId, Instant, SubscriptionId } from '#domain';

/**
 * How an attempt to use a client's credentials or tokens ended:
 *
 * - `OK`: a login, a refresh, or a call that the gateway check let through.
 * - `BAD_SECRET`: the secret or the refresh token is none of the client's good ones, or is of the wrong type.
 * - `REVOKED`: the client, its token, the token's credential generation or the token's signing key was revoked.
 * - `EXPIRED`: the token is outside the time, or was issued under an issuer's URL, in which it is good.
 * - `NOT_ASSIGNED`: the client or the token may not be used for this endpoint.
 * - `ENDED`: the endpoint's subscription has ended.
 * - `RATE_LIMITED`: too many attempts within a minute.
 */
export const USAGE_OUTCOMES = [
  'OK',
  'BAD_SECRET',
  'REVOKED',
  'EXPIRED',
  'NOT_ASSIGNED',
  'ENDED',
  'RATE_LIMITED',
] as const;
export type UsageOutcome = (typeof USAGE_OUTCOMES)[number];

/**
 * Counts the attempts of one client that have the same generation, subscription and outcome. A field that may be absent
 * is absent if it was not recorded: in every event of version 1, and where a process had more combinations to count
 * than it keeps in memory.
 */
export interface UsageEntry {
  readonly client: ClientId;
  /** The credential's generation. `null`: no generation of the client took part, such as with a wrong secret. */
  readonly generation?: number | null;
  /**
   * The subscription for which the client was used. `null`: none, such as a login for all subscriptions, or an endpoint
   * that is not of the client's workspace.
   */
  readonly subscription?: SubscriptionId | null;
  readonly outcome: UsageOutcome;
  /** At least 1. */
  readonly count: number;
  /** Time of the earliest of these attempts. */
  readonly first?: Instant;
  /** Time of the latest of these attempts. */
  readonly last: Instant;
}

/** The attempts that one auth process saw within about a minute. */
export interface UsageRecorded {
  type: 'UsageRecorded';
  data: {
    /** Id of one run of an auth process. A restarted process has a new id. */
    process: string;
    /** The entries of one client are neighbours. Every client exists. */
    entries: readonly UsageEntry[];
    /** Number of refused attempts that name no existing client, so that made-up ids never get into the log. */
    unknownClients: number;
  };
}

/** Stream `usage-<yyyy-mm-dd>-<process>`: what one auth process recorded on one day (UTC). */
export const usageStream = (recordedAt: Instant, process: string): string =>
  `usage-${recordedAt.slice(0, 10)}-${process}`;
