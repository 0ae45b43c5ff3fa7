import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const ROOT = join(__dirname, '../../..');

/**
 * Returns the shell code that a reader would paste: all shell blocks of one section (`## heading`) of a document,
 * joined.
 */
export function shellBlocks(document: string, heading: string): string {
  const [, section = ''] = `${readFileSync(join(ROOT, document), 'utf8')}\n## `.split(`\n## ${heading}\n`);
  const [ofIt = ''] = section.split('\n## ', 1);
  return [...ofIt.matchAll(/^```bash\n([\s\S]*?)^```/gm)].map(([, block]) => block).join('\n');
}

/**
 * Runs the lines in a shell. Expects that the shell prints nothing to stderr but these notes, one a line. Returns the
 * lines that the shell printed to stdout.
 */
export async function paste(
  lines: string,
  env: Readonly<Record<string, string>>,
  notes: readonly RegExp[] = [],
): Promise<string[]> {
  const shell = spawn('bash', ['-s'], { cwd: ROOT, env: { ...process.env, ...env }, stdio: 'pipe' });
  shell.stdin.end(lines);
  const [printed, complaints] = await Promise.all([text(shell.stdout), text(shell.stderr)]);
  const printedNotes = complaints === '' ? [] : complaints.trimEnd().split('\n');
  expect(printedNotes).toEqual(notes.map((note) => expect.stringMatching(note) as string));
  return printed.trimEnd().split('\n');
}
