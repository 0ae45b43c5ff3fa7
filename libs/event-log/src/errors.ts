import { Failure } from '#domain';
import type { Position, RecordedEvent, Revision } from '#events';
import type { ExpectedRevision } from './expected-revision.js';

/** Thrown by an append if the stream does not end at the revision that the append expected. */
export class RevisionConflict extends Failure {
  override readonly name = 'RevisionConflict';
  readonly kind = 'unavailable';
  readonly code = 'contention';
  readonly detail = 'Others change the same; try again';

  constructor(
    readonly stream: string,
    readonly expected: ExpectedRevision,
    /** The revision of the stream's last event; `undefined` if the stream has no event. */
    readonly actual: Revision | undefined,
  ) {
    super(`${stream} is at ${actual ?? 'none'}, expected ${expected}`);
  }
}

/** Thrown if a store (the event log or another store) is not available now. The same call may succeed later. */
export abstract class StoreUnavailable extends Failure {
  readonly kind = 'unavailable';
  /** The store that is away; `undefined` if the store is there, but refuses this call. */
  abstract readonly store: string | undefined;
  /** Whether waiting alone does not help: the store refuses the account or a right, or TLS is set up wrongly. */
  readonly needsOperator: boolean = false;
}

/**
 * Thrown if the event log is not available now. An append that failed with this error may have been written all the
 * same. The caller may send exactly the same append again.
 */
export class LogUnavailable extends StoreUnavailable {
  override readonly name: string = 'LogUnavailable';
  readonly store: string | undefined = 'event log';
  readonly code: string = 'log_unavailable';
  readonly detail: string = 'The event log does not answer; try again';
}

/**
 * Thrown if the event log refuses this process's account, or a right that the account needs, and if the settings of TLS
 * prevent a connection. The message says what an operator has to change.
 */
export class LogRefused extends LogUnavailable {
  override readonly name = 'LogRefused';
  override readonly needsOperator = true;
}

/** Thrown if the event log can be read, but not written. `reason` says why, without paths. */
export class LogUnwritable extends LogUnavailable {
  override readonly name = 'LogUnwritable';
  readonly reason: string;

  constructor(why: string, options?: ErrorOptions) {
    super(`The event log can't be written: ${why}`, options);
    this.reason = `can't be written: ${why}`;
  }
}

/**
 * Thrown by a read that meets a damaged place of the log's file. Unlike another `LogUnavailable`, waiting does not help,
 * but what lies elsewhere can be read.
 */
export class LogDamaged extends LogUnavailable {
  override readonly name = 'LogDamaged';
}

/** Thrown by an append to a sealed log. A log is sealed when it is moved to another store. Nothing was written. */
export class LogIsSealed extends LogUnavailable {
  override readonly name = 'LogIsSealed';
  override readonly store = undefined;
  override readonly code = 'log_sealed';
  override readonly detail = 'The event log is being moved, or was';

  constructor() {
    super('The event log is sealed');
  }
}

/**
 * Thrown if the log lacks events that this process has read or written: the log was restored to an older state. This
 * process uses the log again when an operator has adopted it, or when the log has these events again. The message says
 * what is missing and what to do.
 */
export class LogRestored extends LogUnavailable {
  override readonly name = 'LogRestored';
  override readonly code = 'log_restored';
  override readonly detail = 'The event log was restored to an older state; an operator must adopt it';
  override readonly needsOperator = true;
}

/** Thrown if the clocks of this process and of the log differ too much: events written now would carry a wrong time. */
export class ClockApart extends LogUnavailable {
  override readonly name = 'ClockApart';
  override readonly code = 'clocks_apart';
  override readonly detail = "This node's clock and the event log's differ too much; try again elsewhere or later";

  constructor(milliseconds: number) {
    super(`The clock of this process and the event log's are ${Math.round(milliseconds / 1000)} s apart`);
  }
}

/**
 * Thrown by an append that is larger than `MAX_APPEND_BYTES`, or larger than a limit that the store was given. Sending
 * the append again is useless, but it may be possible to split it.
 */
export class EventTooLarge extends Failure {
  override readonly name = 'EventTooLarge';
  readonly kind = 'too_large';
  readonly code = 'event_too_large';
  readonly detail = 'This is too large to be recorded';

  constructor(
    readonly stream: string,
    readonly bytes: number,
  ) {
    super(`An append of ${bytes} bytes to ${stream} is too large`);
  }
}

/**
 * Thrown if the log no longer has events that it has had: a stream was cut, deleted or tombstoned, or the log was
 * exchanged. The message names the stream and what is missing. Nothing may be written over the missing events.
 */
export class HistoryMissing extends Failure {
  override readonly name = 'HistoryMissing';
  readonly kind = 'unavailable';
  readonly code = 'history_missing';
  readonly detail = 'Events are missing from the event log; an operator must act';

  constructor(
    readonly stream: string,
    what: string,
    /** The revision of the first missing event; `undefined` if the whole log was exchanged. */
    readonly first: Revision | undefined = 0n,
  ) {
    super(what);
  }
}

/** Thrown if a stream of ours contains an event that another application wrote. */
export class ForeignEvent extends Failure {
  override readonly name = 'ForeignEvent';
  readonly kind = 'unavailable';
  readonly code = 'history_damaged';
  readonly detail = 'The history of this is damaged';

  constructor(
    readonly stream: string,
    readonly revision: Revision,
  ) {
    super(`Event ${revision} of ${stream} was not written by this application`);
  }
}

/** Thrown if an operator has quarantined the stream, because it is damaged. It can't be used until this is lifted. */
export class StreamIsQuarantined extends Failure {
  override readonly name = 'StreamIsQuarantined';
  readonly kind = 'conflict';
  readonly code = 'quarantined';
  readonly detail = 'This is quarantined, because its history is damaged; only an operator can lift that';

  constructor(readonly stream: string) {
    super(`${stream} is quarantined`);
  }
}

/** Thrown if the stream is not at the revision that the caller named in `ifMatch`. */
export class PreconditionFailed extends Failure {
  override readonly name = 'PreconditionFailed';
  readonly kind = 'precondition_failed';
  readonly code = 'precondition_failed';
  readonly detail = 'It has changed: read it again (If-Match)';

  constructor(readonly stream: string) {
    super(`${stream} has changed`);
  }
}

/** Thrown if the command's id was used before, for a different command. */
export class CommandIdReused extends Failure {
  override readonly name = 'CommandIdReused';
  readonly kind = 'key_reused';
  readonly code = 'idempotency_key_reused';
  readonly detail = 'This Idempotency-Key was used for another request';

  constructor(readonly commandId: string) {
    super(`Command ${commandId} was another command`);
  }
}

/**
 * Thrown if a follower (a loop that reads the log) meets an event that the follower can't apply. The follower stops,
 * because it must never skip an event. The message names the event. Neither the message nor `cause` (an error of the
 * event registry or of the follower's own code) contains the event's data.
 */
export class ProjectionStopped extends Error {
  override readonly name = 'ProjectionStopped';
  readonly eventType: string;
  readonly stream: string;
  readonly revision: Revision;
  readonly position: Position;
  /** Whether the store could not read the event. */
  readonly isUnreadable: boolean;

  constructor(
    readonly projection: string,
    event: Pick<RecordedEvent, 'type' | 'stream' | 'revision' | 'position' | 'unreadable'>,
    cause: unknown,
  ) {
    const { type, stream, revision, position } = event;
    super(`${projection} can't apply ${type} (${stream}, revision ${revision}, position ${position})`, { cause });
    this.eventType = type;
    this.stream = stream;
    this.revision = revision;
    this.position = position;
    this.isUnreadable = event.unreadable !== undefined;
  }
}

/**
 * Thrown if the checkpoint is not a place in this log: the log was restored to an older state, or the log or the read
 * store was exchanged.
 */
export class RebuildNeeded extends Failure {
  override readonly name = 'RebuildNeeded';
  readonly kind = 'unavailable';
  readonly code = 'read_model_rebuild_needed';
  readonly detail = 'This list is of another log and must be rebuilt';

  constructor(
    readonly projection: string,
    readonly reason: string,
  ) {
    super(`${projection} must be rebuilt: ${reason}`);
  }
}

/**
 * Thrown if the stored checkpoint is not the checkpoint that this follower stored last. The follower then continues
 * from the stored checkpoint.
 */
export class CheckpointMoved extends Error {
  override readonly name = 'CheckpointMoved';

  constructor(readonly projection: string) {
    super(`${projection}: the checkpoint was moved`);
  }
}
