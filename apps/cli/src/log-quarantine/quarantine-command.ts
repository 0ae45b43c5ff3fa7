import { setTimeout as delay } from 'node:timers/promises';
import { createCommand, Option } from 'commander';
import {
  type BookOfRecord,
  isQuarantinable,
  liftQuarantine,
  LogUnavailable,
  OUR_STREAM_PREFIXES,
  QUARANTINE_HOLDS_AFTER_MS,
  quarantineStream,
  readQuarantines,
} from '#event-log';
import type { Revision } from '#events';
import { configurationFrom, systemClock } from '#platform/without-http';
import { asError, rebuild } from '#read-models';
import { type ActOptions, operatorContext, reasonOption, subjectOption, withBook } from '../environment.js';
import { notFound, untilInterrupted, usageError } from '../exit.js';
import { printResult, tableLines } from '../output.js';
import { graceOption, storeObserver, switchReporter, withReadStore } from '../projections.js';
import { hasUnreadable, lastRevisionOf, projectionsOf, requireWhole } from './whole-stream.js';

interface QuarantineOptions extends ActOptions {
  readonly althoughWhole?: true;
  readonly lift?: true;
  readonly list?: true;
  readonly grace: number;
}

/** The streams that can be quarantined, in words. */
const POSSIBLE = OUR_STREAM_PREFIXES.map((prefix) => `${prefix}…`).join(', ');

/** `log quarantine`: lets everything else go on without a stream that is damaged, and takes this back. */
export const quarantineCommand = () =>
  createCommand('quarantine')
    .description('let everything else go on without a stream that is damaged: what uses the stream is refused')
    .argument('[stream]', `the stream’s name: ${POSSIBLE}`)
    .addOption(reasonOption('why; kept for ever, and shown by the API'))
    .addOption(new Option('--although-whole', 'quarantine the stream even if nothing is found to be wrong with it'))
    .addOption(new Option('--lift', 'end the quarantine of a stream that is whole again; rebuilds its projections'))
    .addOption(new Option('--list', 'show which streams are quarantined').conflicts(['lift', 'reason']))
    .addOption(graceOption())
    .addOption(subjectOption())
    .action(async (stream: string | undefined, options: QuarantineOptions) => {
      if (options.list) return withBook(list);
      if (stream === undefined) throw usageError('Name the stream, or use --list');
      if (!isQuarantinable(stream)) {
        throw usageError(`${stream} can't be quarantined, only ${POSSIBLE}: nothing works without the other streams`);
      }
      const { reason } = options;
      if (options.lift) return withBook((book) => lift(book, stream, options));
      if (reason === undefined) throw usageError("Say why: '--reason <text>'");
      return withBook((book) => quarantine(book, stream, { ...options, reason }));
    });

async function list({ log }: BookOfRecord): Promise<void> {
  const found = [...(await readQuarantines(log)).values()];
  const rows = found.map(({ stream, quarantinedAt, subject, reason }) => [stream, quarantinedAt, subject, reason]);
  printResult(found, tableLines(['STREAM', 'SINCE', 'BY', 'REASON'], rows, 'No stream is quarantined'));
}

async function quarantine(
  book: BookOfRecord,
  stream: string,
  { reason, subject, althoughWhole }: QuarantineOptions & { readonly reason: string },
): Promise<void> {
  requireCurrentVersions(book);
  const { log } = book;
  const fault = await faultOf(log, stream);
  if (fault === undefined && !althoughWhole && !(await readQuarantines(log)).has(stream)) {
    throw new Error(`Nothing is wrong with ${stream}, as far as can be told. To quarantine it, add --although-whole`);
  }
  const lastRevision = await lastRevisionOf(log, stream);
  const context = operatorContext(subject);
  const isNew = await quarantineStream(log, { stream, lastRevision }, { reason, context, now: systemClock });
  await untilHeld();
  const verdict = fault ?? 'Nothing was found to be wrong with it.';
  const line = `${stream} is quarantined${isNew ? '' : ' already'}. ${verdict}`;
  printResult({ stream, isNew, fault: fault ?? null }, [line]);
}

/** Throws while processes of the former release may run. They know no quarantine, and would go on with the stream. */
function requireCurrentVersions({ eventVersions }: BookOfRecord): void {
  if (eventVersions === 'current') return;
  throw new Error('Processes of the former release honour no quarantine: end them, and EVENT_VERSIONS=previous, first');
}

/**
 * Says what is wrong with the stream; `undefined` if it is whole. Throws if the stream never existed, and
 * `LogUnavailable` if the log can't be read for another reason than an event of the stream.
 */
async function faultOf(log: BookOfRecord['log'], stream: string): Promise<string | undefined> {
  let last: Revision | undefined;
  try {
    last = await requireWhole(log, stream);
  } catch (error) {
    if (error instanceof LogUnavailable && !(await hasUnreadable(log, stream))) throw error;
    return `What is wrong with it: ${asError(error).message}`;
  }
  if (last === undefined) throw notFound(`There is no stream ${stream}`);
  return undefined;
}

/**
 * Rebuilds the projections before the quarantine ends. So no served build ever lacks events in the middle of the
 * stream, and nothing is appended to the stream before all builds have its whole history.
 */
async function lift(book: BookOfRecord, stream: string, options: QuarantineOptions): Promise<void> {
  requireCurrentVersions(book);
  const { log, logId } = book;
  const found = (await readQuarantines(log)).get(stream);
  if (!found) throw notFound(`${stream} is not quarantined`);
  await requireWholeAgain(log, stream, found.lastRevision);
  await withReadStore(configurationFrom(process.env), { create: true }, (store) =>
    untilInterrupted(async (signal) => {
      const feed = { log, logId, store, now: systemClock, observer: storeObserver };
      const graceMs = options.grace * 1000;
      const rebuilds = projectionsOf(stream).map(async (projection) => {
        const { build } = await rebuild({
          ...{ ...feed, projection, signal, graceMs, acceptDifferences: true },
          onSwitched: switchReporter(options.grace),
        });
        console.error(`${projection.name} is served from ${build}`);
      });
      const failed = (await Promise.allSettled(rebuilds)).find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
      signal.throwIfAborted();
    }),
  );
  const { reason = 'The stream is whole again', subject } = options;
  await liftQuarantine(log, stream, { reason, context: operatorContext(subject), now: systemClock });
  await untilHeld();
  printResult({ stream, isLifted: true }, [`${stream} is used again`]);
}

async function requireWholeAgain(log: BookOfRecord['log'], stream: string, lastRevision = 0): Promise<void> {
  let last: Revision | undefined;
  try {
    last = await requireWhole(log, stream);
  } catch (error) {
    if (error instanceof LogUnavailable) throw error;
    throw new Error(`${stream} is not whole: ${asError(error).message}`, { cause: error });
  }
  if (last === undefined || last < lastRevision) throw new Error(`${stream} is not whole: its last events are missing`);
}

/** Waits until what was appended holds in all processes. */
const untilHeld = () => delay(QUARANTINE_HOLDS_AFTER_MS);
