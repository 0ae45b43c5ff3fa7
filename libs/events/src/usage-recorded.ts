import type { ClientId, Instant } from '#domain';

/** How often a client's credentials and tokens were used, and when last. */
export interface ClientUsage {
  readonly uses: number;
  readonly lastUsedAt: Instant;
}

/** What one auth process saw within about a minute. */
export interface UsageRecorded {
  type: 'UsageRecorded';
  data: {
    /** Id of one run of an auth process. */
    process: string;
    /** Only clients that were seen. */
    clients: Readonly<Record<ClientId, ClientUsage>>;
  };
}

/** Stream `usage-<yyyy-mm-dd>-<process>`: what one auth process recorded on one day (UTC). */
export const usageStream = (recordedAt: Instant, process: string): string =>
  `usage-${recordedAt.slice(0, 10)}-${process}`;
