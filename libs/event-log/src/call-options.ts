export interface CallOptions {
  /**
   * Milliseconds after which the call fails with `LogUnavailable`. An append that failed with this error may have been
   * written all the same. The deadline of an append is never later than the log's own deadline.
   */
  readonly deadlineMs?: number;
}
