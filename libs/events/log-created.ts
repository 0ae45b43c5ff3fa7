import type { Instant } from '#domain';

/**
 * Written once, to stream `log`: gives the log its own id. The id tells whether a checkpoint or a consistency token
 * belongs to this log.
 */
export interface LogCreated {
  type: 'LogCreated';
  /** `logId` is a UUID. */
  data: { logId: string; createdAt: Instant };
}
