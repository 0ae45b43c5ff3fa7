import { CommanderError } from 'commander';
import { Failure } from '#domain';
import { StoreUnavailable } from '#event-log';
import { InvalidEvent } from '#events';
import { ConfigurationError } from '#platform/without-http';
import { BuildsDiffer } from '#read-models';
import { MasterKeyMismatch } from '#tokens';

/** The exit codes of all commands. Those from 64 on are the ones of BSD's `sysexits.h`. */
export const ExitCode = {
  FAILED: 1,
  DOCUMENTS_DIFFER: 2,
  STREAMS_CUT: 3,
  NOT_FOUND: 4,
  INCOMPLETE: 5,
  NOT_CONFIRMED: 6,
  USAGE: 64,
  UNAVAILABLE: 69,
  CONFIGURATION: 78,
  INTERRUPTED: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

const MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [ExitCode.FAILED, 'failed for another reason'],
  [ExitCode.DOCUMENTS_DIFFER, 'documents differ'],
  [ExitCode.STREAMS_CUT, 'no document differs, but streams of the log are cut'],
  [ExitCode.NOT_FOUND, 'what the command names does not exist'],
  [ExitCode.INCOMPLETE, 'done in part: the same command may be given again'],
  [ExitCode.NOT_CONFIRMED, 'nothing was done, because it was not confirmed'],
  [ExitCode.USAGE, 'the arguments are wrong'],
  [ExitCode.UNAVAILABLE, 'a store does not answer or refuses'],
  [ExitCode.CONFIGURATION, 'an environment variable is wrong'],
  [ExitCode.INTERRUPTED, 'interrupted'],
];

/** The table of exit codes, for the help. */
export const exitCodesHelp = (): string =>
  ['', 'Exit codes:', ...MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`)].join('\n');

/** An error with an exit code of its own. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';

  constructor(
    readonly exitCode: ExitCode,
    message: string,
  ) {
    super(message);
  }
}

export const usageError = (message: string) => new CommandFailed(ExitCode.USAGE, message);

export const notFound = (message: string) => new CommandFailed(ExitCode.NOT_FOUND, message);

/**
 * Returns the exit code for what a command has thrown. The help and the version are thrown, too, with code 0; an error
 * of usage has code 1, or the code that its command has given it.
 */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 1 ? ExitCode.USAGE : error.exitCode;
  if (error instanceof CommandFailed) return error.exitCode;
  if (error instanceof BuildsDiffer) return ExitCode.DOCUMENTS_DIFFER;
  if (error instanceof ConfigurationError || error instanceof MasterKeyMismatch) return ExitCode.CONFIGURATION;
  if (error instanceof StoreUnavailable) return ExitCode.UNAVAILABLE;
  // An event holds what the user has typed, such as a reason.
  if (error instanceof InvalidEvent) return ExitCode.USAGE;
  return error instanceof Failure ? exitCodeOfFailure(error) : ExitCode.FAILED;
}

function exitCodeOfFailure({ kind }: Failure): ExitCode {
  if (kind === 'not_found') return ExitCode.NOT_FOUND;
  return kind === 'invalid' ? ExitCode.USAGE : ExitCode.FAILED;
}

/**
 * Runs `work`. The first SIGINT or SIGTERM aborts the signal that `work` gets, with an error of exit code 130 as the
 * reason. A second signal of the same kind ends the process.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => {
    controller.abort(new CommandFailed(ExitCode.INTERRUPTED, 'Interrupted; the same command may be given again'));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    // When the signal aborts a wait, the wait throws an error of its own. We report the interruption instead.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
