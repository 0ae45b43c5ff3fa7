/** An event that does not fit its schema was about to be written. Never says the value. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent';

  constructor(
    readonly type: string,
    readonly field: string,
  ) {
    super(`${type}: ${field} does not fit the schema`);
  }
}

/** A stored type, or a version of it, that this code doesn't know: whoever reads it stops. */
export class UnknownEvent extends Error {
  override readonly name = 'UnknownEvent';

  constructor(
    readonly type: string,
    readonly schemaVersion: number,
    readonly stream: string,
    /** Absent where the event was not read from the log. */
    readonly position?: string,
  ) {
    super(`Unknown event ${type} version ${schemaVersion} in ${stream} at ${position ?? 'no position'}`);
  }
}
