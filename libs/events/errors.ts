import { Failure } from '#domain';

/** An event that does not fit its schema was about to be written. The message never contains the event's values. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent';

  constructor(
    readonly type: string,
    readonly field: string,
  ) {
    super(`${type}: ${field} does not fit the schema`);
  }
}

/** The log holds an event whose type or version this code doesn't know. The reader of the log must stop. */
export class UnknownEvent extends Error {
  override readonly name = 'UnknownEvent';

  constructor(
    readonly type: string,
    readonly schemaVersion: number,
    readonly stream: string,
    /** Absent if the event was not read from the log. */
    readonly position?: string,
  ) {
    super(`Unknown event ${type} version ${schemaVersion} in ${stream} at ${position ?? 'no position'}`);
  }
}

/**
 * The process writes the event versions of the release before (`EVENT_VERSIONS=previous`), and these can't record what
 * the command asks for. `field`: the input that asks for it, if there is a single one.
 */
export class NotDuringUpgrade extends Failure {
  override readonly name = 'NotDuringUpgrade';
  readonly kind = 'conflict';
  readonly code = 'upgrade_unfinished';
  readonly detail = 'This becomes possible when the upgrade of the service is finished (EVENT_VERSIONS=previous)';
  override readonly field: string | undefined;

  constructor(field?: string) {
    super(`The release before can't read ${field ?? 'this'}: EVENT_VERSIONS is previous`);
    this.field = field;
  }
}
