import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { CommandFailed, ExitCode } from './exit.js';

/**
 * Asks the user on the terminal whether to go on. Throws `CommandFailed` (exit code 6) unless the user answers `yes`,
 * and if there is no terminal.
 */
export async function requireConfirmation(warning: string): Promise<void> {
  if (!process.stdin.isTTY) throw new CommandFailed(ExitCode.NOT_CONFIRMED, `${warning} Confirm it with --yes`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = once(terminal, 'close').then(() => '');
  const answer = await Promise.race([terminal.question(`${warning} Type 'yes' to go on: `), closed]);
  terminal.close();
  if (answer.trim() !== 'yes') throw new CommandFailed(ExitCode.NOT_CONFIRMED, 'Nothing was done');
}
