import type { Instant } from '#domain';

/** Written once, to stream `log`: the log's own id, by which checkpoints and tokens of another log are recognised. */
export interface LogCreated {
  type: 'LogCreated';
  /** `logId` is a UUID. */
  data: { logId: string; createdAt: Instant };
}
