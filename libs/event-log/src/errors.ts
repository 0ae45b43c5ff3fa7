import type { Revision } from '#events';
import type { ExpectedRevision } from './port.js';

/** The stream was not where the append expected it. */
export class RevisionConflict extends Error {
  override readonly name = 'RevisionConflict';

  constructor(
    readonly stream: string,
    readonly expected: ExpectedRevision,
    /** Revision of the stream's last event; `undefined` when it has none. */
    readonly actual: Revision | undefined,
  ) {
    super(`${stream} is at ${actual ?? 'none'}, expected ${expected}`);
  }
}

/** The log can't answer now. An append that ends so may have been written; the same append may be sent again. */
export class LogUnavailable extends Error {
  override readonly name: string = 'LogUnavailable';
}

/** The log takes nothing until it is unsealed: its book of record goes on in another store. Nothing was written. */
export class LogIsSealed extends LogUnavailable {
  override readonly name = 'LogIsSealed';

  constructor() {
    super('The event log is sealed');
  }
}

/** This process's wall clock is another than the log's: what it would date, it must not. */
export class ClockApart extends LogUnavailable {
  override readonly name = 'ClockApart';

  constructor(milliseconds: number) {
    super(`The clock of this process and the event log's are ${Math.round(milliseconds / 1000)} s apart`);
  }
}

/** The append is over `MAX_APPEND_BYTES`; sending it again is useless. */
export class EventTooLarge extends Error {
  override readonly name = 'EventTooLarge';

  constructor(
    readonly stream: string,
    readonly bytes: number,
  ) {
    super(`An append of ${bytes} bytes to ${stream} is too large`);
  }
}

/** The stream is not at the revision that the caller named (HTTP 412). */
export class PreconditionFailed extends Error {
  override readonly name = 'PreconditionFailed';

  constructor(readonly stream: string) {
    super(`${stream} has changed`);
  }
}

/** The command's id was used before, for another command (HTTP 422). */
export class CommandIdReused extends Error {
  override readonly name = 'CommandIdReused';

  constructor(readonly commandId: string) {
    super(`Command ${commandId} was another command`);
  }
}
