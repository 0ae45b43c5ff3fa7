import { createCommand, Option } from 'commander';
import { adoptLog, type BookOfRecord, readAdoptions } from '#event-log';
import { configurationFrom, systemClock } from '#platform/without-http';
import { operatorContext, subjectOption, withBook } from '../environment.js';
import { usageError } from '../exit.js';
import { printResult } from '../output.js';
import { withReadStore } from '../projections.js';
import { lostRevocations } from './lost-revocations.js';

interface AdoptOptions {
  readonly reason?: string;
  readonly list?: true;
  readonly listRevoked?: true;
  readonly subject: string;
}

/** `log adopt`: lets the processes go on with a log that was restored to an older state. */
export const adoptCommand = () =>
  createCommand('adopt')
    .description('let the processes go on that stopped because the log was restored to an older state')
    .addOption(new Option('--reason <text>', 'why; kept for ever'))
    .addOption(new Option('--list', 'show the adoptions so far').conflicts(['reason', 'listRevoked']))
    .addOption(
      new Option(
        '--list-revoked',
        'adopt nothing, and show the clients whose revocation is lost, as far as the read store knows them',
      ).conflicts('reason'),
    )
    .addOption(subjectOption())
    .action(({ reason, list, listRevoked, subject }: AdoptOptions) => {
      if (list) return withBook(listAdoptions);
      if (listRevoked) return withBook(listRevocations);
      if (reason === undefined) throw usageError("Say why: '--reason <text>'");
      return withBook((book) => adopt(book, { reason, subject }));
    });

async function listAdoptions({ log }: BookOfRecord): Promise<void> {
  const adoptions = await readAdoptions(log);
  const lines = adoptions.map(({ adoptedAt, position, subject, reason }) =>
    [adoptedAt, position, subject, reason].join('  '),
  );
  printResult(adoptions, lines.length > 0 ? lines : ['The log was never adopted']);
}

async function adopt(book: BookOfRecord, { reason, subject }: { reason: string; subject: string }): Promise<void> {
  await adoptLog(book.log, { reason, context: operatorContext(subject), now: systemClock });
  console.error('The log is adopted. Processes that had stopped because it was restored go on within seconds.');
  await listRevocations(book);
}

const listRevocations = (book: BookOfRecord): Promise<void> =>
  withReadStore(configurationFrom(process.env), async (store) => {
    const lost = [];
    const unreadable = [];
    for await (const { client, unreadable: error } of lostRevocations(book, store)) {
      const { clientId, workspaceId, name, revokedAt, revocationReason } = client;
      if (error) unreadable.push({ clientId, reason: error.message });
      else lost.push({ clientId, workspaceId, revokedAt, name, revocationReason });
    }
    for (const { clientId, reason } of unreadable) console.error(`${clientId} can't be read: ${reason}`);
    printResult(
      { lost, unreadable },
      lost.map((client) => Object.values(client).join('  ')),
    );
    console.error(
      lost.length === 0
        ? 'The read store knows no client whose revocation is lost.'
        : `The revocations of these clients are lost, and their credentials are good again: ${lost.length}`,
    );
  });
