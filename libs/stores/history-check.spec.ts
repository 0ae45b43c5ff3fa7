import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BookOfRecord, type EventLog, openBookOfRecord, type StreamCut } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { Logger } from '#platform';
import { HistoryCheck } from './history-check.js';

let directory: string;
let log: EventLog;
let book: BookOfRecord;
let lines: { readonly level: string; readonly message: string; readonly fields: object }[];
let check: HistoryCheck;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'history-check-'));
  log = await openSqliteEventLog({ file: join(directory, 'event-log.db') });
  const observer = { outageBegan: () => undefined, outageEnded: () => undefined };
  book = await openBookOfRecord(log, () => new Date(), 'current', observer);
  lines = [];
  const to = (level: string) => (fields: object, message: string) => lines.push({ level, message, fields });
  check = new HistoryCheck({ error: to('error'), info: to('info') } as unknown as Logger);
});
afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

const streams = (count: number): StreamCut[] =>
  Array.from({ length: count }, (_, index) => ({ stream: `consumerClient-cc_${index}`, how: 'has $maxCount 1' }));

/** Tells the check of these cuts. Returns the lines that the check has logged for them. */
async function toldOf(cuts: readonly StreamCut[], cutCount = cuts.length): Promise<typeof lines> {
  Object.assign(log.missingHistory, { cuts, cutCount });
  await check.requireWhole(book);
  return lines.splice(0);
}

it('logs each of a few streams that are cut, once, and each that is whole again', async () => {
  const [first, second] = streams(2) as [StreamCut, StreamCut];
  expect(await toldOf([first, second])).toEqual(
    [first, second].map((fields) => ({
      ...{ level: 'error', fields },
      message: 'a stream of the event log is cut: its events will be lost at the next scavenge',
    })),
  );
  expect(await toldOf([first, second])).toEqual([]);
  expect(await toldOf([second])).toEqual([
    {
      ...{ level: 'info', fields: { stream: first.stream } },
      message: 'a stream of the event log is no longer cut',
    },
  ]);
});

it('logs one line for very many streams that are cut, again when they are twice as many, and one at the end', async () => {
  const some = streams(1_000);
  const line = {
    level: 'error',
    message: 'many streams of the event log are cut: their events will be lost at the next scavenge',
  };
  const named = some.slice(0, 20).map(({ stream }) => stream);
  expect(await toldOf(some, 100_000)).toEqual([{ ...line, fields: { streams: named, more: 99_980 } }]);
  expect(await toldOf(some, 199_999)).toEqual([]);
  expect(await toldOf(some, 200_000)).toEqual([{ ...line, fields: { streams: named, more: 199_980 } }]);
  expect(await toldOf([])).toEqual([
    {
      ...{ level: 'info', fields: { streams: named, more: 980 } },
      message: 'many streams of the event log are no longer cut',
    },
  ]);
});
