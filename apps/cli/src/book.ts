import { randomUUID } from 'node:crypto';
import { Option } from 'commander';
import type { MasterKeys } from '#credentials';
import type { WorkspaceId } from '#domain';
import { type BookOfRecord, openBookOfRecord, readLogId, requireCommonClock } from '#event-log';
import type { CommandContext } from '#events';
import { configurationFrom, systemClock } from '#platform';
import { openEventLog } from '#stores';
import { SigningKeyOperations, SigningKeyRing } from '#tokens';
import { masterKeysOf } from './master-keys.js';

/** Who changes something, for the history. */
export const subjectOption = () => new Option('--subject <name>', 'who acts, as the history names it').default('cli');

/** A command of an operator, a new one each time. */
export const operatorContext = (subject: string, workspaceId?: WorkspaceId): CommandContext => {
  const commandId = randomUUID();
  return {
    ...{ commandId, commandHash: '', correlationId: commandId, causationId: commandId },
    actor: { subject, roles: [], via: 'cli' },
    ...(workspaceId !== undefined && { workspaceId }),
  };
};

/** Works on this environment's event log, beside the processes that run. Throws `ClockApart`, and where none was begun. */
export async function withBook<T>(work: (book: BookOfRecord) => Promise<T>): Promise<T> {
  const log = await openEventLog(configurationFrom(process.env), { create: false });
  try {
    if ((await readLogId(log)) === undefined) throw new Error('This event log is empty: start the service first');
    const book = await openBookOfRecord(log, systemClock);
    requireCommonClock(log);
    return await work(book);
  } finally {
    await log.close();
  }
}

export interface OperatedKeys {
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
  readonly masterKeys: MasterKeys;
  readonly operations: SigningKeyOperations;
}

/** The same with the signing keys. Throws `MasterKeyMismatch` where the master keys of this environment don't fit. */
export async function withSigningKeys<T>(subject: string, work: (keys: OperatedKeys) => Promise<T>): Promise<T> {
  const configuration = configurationFrom(process.env);
  const masterKeys = masterKeysOf(configuration);
  return withBook(async (book) => {
    const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: configuration.tokenAlg, now: systemClock });
    await ring.start();
    const operations = new SigningKeyOperations(book.signingKeys, {
      ...{ ring, masterKeys, now: systemClock },
      newContext: () => operatorContext(subject),
    });
    return work({ book, ring, masterKeys, operations });
  });
}
