import type { MasterKeys } from '#credentials';
import type { BookOfRecord } from '#event-log';
import type { Configuration } from '#platform/without-http';
import { SigningKeyRing } from '#tokens';
import type { OpenEventLogOptions } from './event-log.js';
import type { LogFindings } from './log-findings.js';
import { addLogMetrics } from './log-metrics.js';
import type { PendingStore } from './pending-store.js';
import { type PendingBook, pendingLog, type StoreContext } from './process-stores.js';

/**
 * The book of record (the event log's aggregates) and the signing keys of a process that has master keys. The master
 * keys were checked against the log.
 */
export interface KeyedBook {
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
}

export type PendingKeyedBook = PendingStore<KeyedBook>;

export interface KeyedBookOptions extends Pick<OpenEventLogOptions, 'changeCounter'> {
  /** Returns what the process's other log has found, for the metrics. Rejects if it does not answer. */
  readonly ofSecondary?: () => Promise<LogFindings>;
}

/** Opens the event log in the background, for a process without master keys. */
export const pendingBook = (context: StoreContext): PendingBook =>
  pendingLog(context, {
    complete: (book) => Promise.resolve({ book }),
    addMetrics: (registry, current) => {
      addLogMetrics(registry, current);
    },
  });

/**
 * Opens the event log and its signing keys in the background. `opened` rejects with `MasterKeyMismatch` if the master
 * keys do not belong to this log.
 */
export const pendingKeyedBook = (
  context: StoreContext & { readonly configuration: Pick<Configuration, 'tokenAlg'> },
  masterKeys: MasterKeys,
  { ofSecondary, ...options }: KeyedBookOptions = {},
): PendingKeyedBook => {
  const { configuration, clock } = context;
  return pendingLog(context, {
    complete: async (book) => {
      const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: configuration.tokenAlg, now: clock });
      await ring.start();
      return { book, ring };
    },
    addMetrics: (registry, current) => {
      addLogMetrics(registry, current, ofSecondary);
    },
    ...options,
  });
};
