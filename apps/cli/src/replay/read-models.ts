import type { BookOfRecord } from '#event-log';
import type { Position } from '#events';
import { configurationFrom } from '#platform/without-http';
import { type HistoryDocument, projections, ReadModelQueries, type ServedReadModel } from '#read-models';
import { tokenUpTo } from '#replay';
import { withBook } from '../environment.js';
import { withReadStore } from '../projections.js';

type Histories = ServedReadModel<HistoryDocument>;

/**
 * Runs `work` with the event log and the read model of histories, which has all events up to `position` (default: the
 * log's end). Throws as `withBook`, and `NotCaughtUp` if nothing has built the read model that far.
 */
export const withHistories = (
  work: (book: BookOfRecord, histories: Histories) => Promise<void>,
  position?: (book: BookOfRecord) => Promise<Position | undefined>,
): Promise<void> =>
  withBook((book) =>
    withReadStore(configurationFrom(process.env), { create: false }, async (store) => {
      const queries = new ReadModelQueries({ log: book.log, logId: book.logId, store });
      await work(book, await queries.at(projections.history, await tokenUpTo(book, await position?.(book))));
    }),
  );
