import { Failure } from '#domain';

/**
 * Thrown while this code's version of the projection has no served build (a copy of its documents that queries read).
 */
export class NotReady extends Failure {
  override readonly name = 'NotReady';
  readonly kind = 'unavailable';
  readonly code = 'read_model_not_ready';
  readonly detail = 'This list is being built; try again';

  constructor(readonly projection: string) {
    super(`${projection} is still being built`);
  }
}

/** Thrown when the projection takes too long to reach the log position that the consistency token names. */
export class NotCaughtUp extends Failure {
  override readonly name = 'NotCaughtUp';
  readonly kind = 'unavailable';
  readonly code = 'read_model_behind';
  readonly detail = 'The read models have not come as far as the token; try again';

  constructor(readonly projection: string) {
    super(`${projection} has not caught up yet`);
  }
}

/** Thrown for a consistency token that belongs to another event log. */
export class ForeignConsistencyToken extends Failure {
  override readonly name = 'ForeignConsistencyToken';
  readonly kind = 'invalid';
  readonly code = 'foreign_consistency_token';
  override readonly field = 'X-Consistency-Token';

  constructor(readonly detail = 'This consistency token was made by another log') {
    super(detail);
  }
}

/** Thrown for a string that is not a cursor, and for a cursor of another list. */
export class InvalidCursor extends Failure {
  override readonly name = 'InvalidCursor';
  readonly kind = 'invalid';
  readonly code = 'invalid_cursor';
  override readonly field = 'cursor';

  constructor(readonly detail = 'This cursor does not belong to this list') {
    super(detail);
  }
}

/**
 * Thrown when the documents that a rebuild has made differ from the documents of the served build (the one that queries
 * read). The rebuild then does not switch.
 */
export class BuildsDiffer extends Error {
  override readonly name = 'BuildsDiffer';

  constructor(
    readonly projection: string,
    /** Number of the documents that differ. */
    readonly different: number,
    /** Ids of some of these documents. */
    readonly ids: readonly string[],
  ) {
    const some = ids.slice(0, 10).join(', ');
    super(`${projection}: different from the served build: ${different} of its documents, such as ${some}`);
  }
}

/** Thrown when another rebuild of the same projection has switched queries to its own build first. */
export class RebuildOvertaken extends Error {
  override readonly name = 'RebuildOvertaken';

  constructor(readonly projection: string) {
    super(`Another rebuild of ${projection} came first`);
  }
}

/** Returns a thrown `Error` unchanged, and makes an `Error` of any other thrown value. */
export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
