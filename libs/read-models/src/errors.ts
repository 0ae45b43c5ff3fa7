import type { Position, RecordedEvent, Revision } from '#events';

/**
 * A reader of the log met an event that it can't apply. It stays where it is, and never skips. Says where, and never
 * what the event holds; `cause` comes from the registry or the fold, whose messages hold no data either.
 */
export class ProjectionStopped extends Error {
  override readonly name = 'ProjectionStopped';
  readonly eventType: string;
  readonly stream: string;
  readonly revision: Revision;
  readonly position: Position;

  constructor(
    readonly projection: string,
    event: Pick<RecordedEvent, 'type' | 'stream' | 'revision' | 'position'>,
    cause: unknown,
  ) {
    const { type, stream, revision, position } = event;
    super(`${projection} can't apply ${type} (${stream}, revision ${revision}, position ${position})`, { cause });
    this.eventType = type;
    this.stream = stream;
    this.revision = revision;
    this.position = position;
  }
}

/** The checkpoint is not of this log: a log restored to an older state, or a store exchanged. Only a rebuild helps. */
export class RebuildNeeded extends Error {
  override readonly name = 'RebuildNeeded';

  constructor(
    readonly projection: string,
    readonly reason: string,
  ) {
    super(`${projection} must be rebuilt: ${reason}`);
  }
}

/** The stored checkpoint is not what this reader made it; the loop reads it again and goes on from there. */
export class CheckpointMoved extends Error {
  override readonly name = 'CheckpointMoved';

  constructor(readonly projection: string) {
    super(`${projection}: the checkpoint was moved`);
  }
}

/** No build of this code's version of the projection is served yet (HTTP 503 with `Retry-After`). */
export class NotReady extends Error {
  override readonly name = 'NotReady';

  constructor(readonly projection: string) {
    super(`${projection} is still being built`);
  }
}

/** The projection did not reach the consistency token in time (HTTP 503 with `Retry-After`). */
export class NotCaughtUp extends Error {
  override readonly name = 'NotCaughtUp';

  constructor(readonly projection: string) {
    super(`${projection} has not caught up yet`);
  }
}

/** The consistency token was made by another log (HTTP 400). */
export class ForeignConsistencyToken extends Error {
  override readonly name = 'ForeignConsistencyToken';

  constructor() {
    super('This consistency token was made by another log');
  }
}

/** Not a cursor, or one of another list (HTTP 400). */
export class InvalidCursor extends Error {
  override readonly name = 'InvalidCursor';

  constructor() {
    super('This cursor does not belong to this list');
  }
}

/** A rebuild made other documents than the build that is served; it was not switched to. */
export class BuildsDiffer extends Error {
  override readonly name = 'BuildsDiffer';

  constructor(
    readonly projection: string,
    /** Ids of the documents that differ. */
    readonly ids: readonly string[],
  ) {
    super(
      `${projection}: ${ids.length} documents differ from the served build, such as ${ids.slice(0, 10).join(', ')}`,
    );
  }
}

/** Another rebuild of the same projection was switched to first. */
export class RebuildOvertaken extends Error {
  override readonly name = 'RebuildOvertaken';

  constructor(readonly projection: string) {
    super(`Another rebuild of ${projection} came first`);
  }
}

/** What was thrown, for those who keep it. */
export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
