import { readFile } from 'node:fs/promises';
import { createCommand, Option } from 'commander';
import { adoptLog, type BookOfRecord, readAdoptions } from '#event-log';
import { type Configuration, configurationFrom, systemClock } from '#platform/without-http';
import { asError } from '#read-models';
import { goOnFromHead, startTreeOrigin } from '#tree-heads';
import { type ActOptions, operatorContext, reasonOption, subjectOption, withBook } from '../environment.js';
import { CommandFailed, ExitCode, notFound, usageError } from '../exit.js';
import { printResult, tableLines } from '../output.js';
import { withReadStore } from '../projections.js';
import { lostRevocations } from './lost-revocations.js';

interface AdoptOptions extends ActOptions {
  readonly list?: true;
  readonly listRevoked?: true;
  readonly since?: string;
  readonly newOrigin?: true;
}

/** `log adopt`: lets the processes go on with a log that was restored to an older state. */
export const adoptCommand = () =>
  createCommand('adopt')
    .description('let the processes go on that stopped because the log was restored to an older state')
    .addOption(reasonOption())
    .addOption(new Option('--list', 'show the adoptions so far').conflicts(['reason', 'listRevoked']))
    .addOption(
      new Option(
        '--list-revoked',
        'adopt nothing, and show the clients whose revocation is lost, as far as the read store knows them',
      ).conflicts('reason'),
    )
    .addOption(
      new Option(
        '--since <file>',
        'prove that the log extends this signed tree head, the newest one that anybody has, and go on signing from it',
      ).conflicts(['reason', 'list', 'listRevoked', 'newOrigin']),
    )
    .addOption(
      new Option(
        '--new-origin',
        'begin a new series of tree heads, since the log does not extend the old one (with --reason)',
      ).conflicts(['list', 'listRevoked']),
    )
    .addOption(subjectOption())
    .action(({ reason, list, listRevoked, since, newOrigin, subject }: AdoptOptions) => {
      if (since !== undefined) return withBook((book) => extendHead(book, since, subject));
      if (newOrigin) {
        if (reason === undefined) throw usageError("Say why: '--reason <text>'");
        return withBook((book) => beginOrigin(book, { reason, subject }));
      }
      if (list) return withBook(listAdoptions);
      if (listRevoked) return withBook((book) => listRevocations(book));
      if (reason === undefined) throw usageError("Say why: '--reason <text>'");
      requireAdoptable(configurationFrom(process.env));
      return withBook((book) => adopt(book, { reason, subject }));
    });

/** Throws `CommandFailed` for an SQLite log: a process that runs while its file is replaced never goes on with it. */
function requireAdoptable({ eventStoreDbUrl }: Configuration): void {
  if (eventStoreDbUrl !== undefined) return;
  throw usageError(
    'An SQLite log need not be adopted: restart the service after a restore. --list-revoked shows what was lost',
  );
}

async function listAdoptions({ log }: BookOfRecord): Promise<void> {
  const adoptions = await readAdoptions(log);
  const rows = adoptions.map(({ adoptedAt, position, subject, reason }) => [adoptedAt, position, subject, reason]);
  printResult(adoptions, tableLines(['ADOPTED', 'AT POSITION', 'BY', 'REASON'], rows, 'The log was never adopted'));
}

async function adopt(book: BookOfRecord, { reason, subject }: { reason: string; subject: string }): Promise<void> {
  await adoptLog(book.log, { reason, context: operatorContext(subject), now: systemClock });
  console.error('The log is adopted. Processes that had stopped because it was restored go on within seconds.');
  try {
    await listRevocations(book);
  } catch (error) {
    const missing = `it can't be told which revocations are lost: ${asError(error).message}`;
    const next = "run 'log adopt --list-revoked' where the read models are";
    throw new CommandFailed(ExitCode.INCOMPLETE, `The log is adopted, but ${missing}. To see them, ${next}`);
  }
}

const listRevocations = (book: BookOfRecord): Promise<void> =>
  withReadStore(configurationFrom(process.env), { create: false }, async (store) => {
    const lost = [];
    const unreadable = [];
    for await (const { client, unreadable: error } of lostRevocations(book, store)) {
      const { clientId, workspaceId, name, revokedAt, revocationReason } = client;
      if (error) unreadable.push({ clientId, reason: error.message });
      else lost.push({ clientId, workspaceId, revokedAt, name, revocationReason });
    }
    for (const { clientId, reason } of unreadable) console.error(`${clientId} can't be read: ${reason}`);
    const columns = ['CLIENT', 'WORKSPACE', 'REVOKED', 'NAME', 'REASON'];
    const rows = lost.map(({ clientId, workspaceId, revokedAt = '', name, revocationReason = '' }) => [
      ...[clientId, workspaceId, revokedAt, name, revocationReason],
    ]);
    printResult({ lost, unreadable }, tableLines(columns, rows));
    console.error(
      lost.length === 0
        ? 'The read store knows no client whose revocation is lost.'
        : `The revocations of these clients are lost, and their credentials are good again: ${lost.length}`,
    );
  });

async function extendHead(book: BookOfRecord, file: string, subject: string): Promise<void> {
  const note = await readFile(file, 'utf8').catch(() => {
    throw notFound(`--since: ${file} can't be read`);
  });
  const size = await goOnFromHead(book, note, { context: operatorContext(subject), now: systemClock });
  printResult({ size }, [`The log extends this head. Heads are signed again, from ${size} leaves on.`]);
}

async function beginOrigin(
  book: BookOfRecord,
  { reason, subject }: { reason: string; subject: string },
): Promise<void> {
  const { publicUrl } = configurationFrom(process.env);
  const options = { publicUrl, reason, context: operatorContext(subject), now: systemClock };
  const origin = await startTreeOrigin(book, options);
  printResult({ origin }, [
    `New heads are of ${origin}. Tell it, and the keys of /v1/log/policy, to all who check heads.`,
  ]);
}
