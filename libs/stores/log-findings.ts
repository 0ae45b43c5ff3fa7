import type { BookOfRecord } from '#event-log';

/** What only one of the logs may know that a process has opened, each on a thread of its own. */
export interface LogFindings {
  /** The streams whose events are missing, without quarantined ones. */
  readonly missing: readonly string[];
  /** Number of snapshots that could not be written. */
  readonly snapshotFailures: number;
}

export const findingsOf = ({ log, quarantines, snapshotWrites }: BookOfRecord): LogFindings => ({
  missing: log.missingHistory.except(quarantines.lastKnown).map(({ stream }) => stream),
  snapshotFailures: snapshotWrites.failures,
});

/** What a log has found that is not open yet. */
export const NO_FINDINGS: LogFindings = { missing: [], snapshotFailures: 0 };
