import type { MasterKeys } from '#credentials';
import { type BookOfRecord, LogUnavailable, openBookOfRecord, readLogId, requireCommonClock } from '#event-log';
import type { Clock, Configuration, Logger } from '#platform';
import { type ReadStore, ReadStoreUnavailable } from '#read-models';
import { SigningKeyRing } from '#tokens';
import { openEventLog } from './event-log.js';
import { LateStore } from './late-store.js';
import { openReadStore } from './read-store.js';

export interface StoreContext {
  readonly configuration: Configuration;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The book of record of a process that makes, checks or signs credentials: its master keys fit the log. */
export interface KeyedBook {
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
}

export type LateBook = LateStore<{ readonly book: BookOfRecord }>;
export type LateKeyedBook = LateStore<KeyedBook>;
export type LateReadStore = LateStore<ReadStore>;

/** The event log of a process without master keys. */
export const lateBook = (context: StoreContext): LateBook => lateLog(context, (book) => Promise.resolve({ book }));

/** The event log and its signing keys. `opened` rejects with `MasterKeyMismatch` when the keys are not this log's. */
export const lateKeyedBook = (context: StoreContext, masterKeys: MasterKeys): LateKeyedBook =>
  lateLog(context, async (book) => {
    const { configuration, clock } = context;
    const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: configuration.tokenAlg, now: clock });
    await ring.start();
    return { book, ring };
  });

export const lateReadStore = ({ configuration, logger }: StoreContext): LateReadStore =>
  new LateStore({
    name: 'read store',
    open: () => openReadStore(configuration),
    check: (store) => store.ping(),
    close: (store) => store.close(),
    unavailable: () => new ReadStoreUnavailable('The read store has not been reached yet'),
    logger,
  });

const lateLog = <Opened extends { readonly book: BookOfRecord }>(
  { configuration, logger, clock }: StoreContext,
  withBook: (book: BookOfRecord) => Promise<Opened>,
): LateStore<Opened> =>
  new LateStore({
    name: 'event log',
    open: async () => {
      const log = await openEventLog(configuration);
      try {
        return await withBook(await openBookOfRecord(log, clock));
      } catch (error) {
        await log.close();
        throw error;
      }
    },
    check: async ({ book }) => {
      await requireSameLog(book);
      requireCommonClock(book.log);
    },
    close: ({ book }) => book.log.close(),
    unavailable: () => new LogUnavailable('The event log has not been reached yet'),
    logger,
  });

async function requireSameLog({ log, logId }: BookOfRecord): Promise<void> {
  const actual = await readLogId(log);
  if (actual !== logId) throw new Error(`Event log ${logId} was exchanged for ${actual ?? 'an empty one'}`);
}
