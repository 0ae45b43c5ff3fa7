import { setTimeout as delay } from 'node:timers/promises';
import {
  type EventLog,
  eventsMissing,
  EventTooLarge,
  HistoryMissing,
  isSealed,
  LOG_STREAM,
  type QuarantinesInForce,
  readLogId,
  readQuarantines,
  RevisionConflict,
  sealLog,
  sealOf,
  type StreamCut,
  unsealLog,
} from '#event-log';
import { type Position, type RecordedEvent, type Revision, verifyChain } from '#events';
import { bookEvents, runsOf } from './book-events.js';
import { Tally } from './tally.js';

/** The copy can't be made, or the finished copy is not equal to the source. The message says why, and what to do. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

/** `settling`: the source is sealed, and we wait until every append that began before the seal has ended. */
export type CopyPhase = 'verifying' | 'settling' | 'copying' | 'comparing';

export interface CopyOptions {
  readonly source: EventLog;
  readonly target: EventLog;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  /** `done`: the completed share of this phase, from 0 to 1. `events`: the number of events in the target. */
  readonly onProgress: (phase: CopyPhase, done: number, events: number) => void;
  /** Called for each stream of the source that is cut. The copy goes on as long as no events are missing. */
  readonly onCut: (cut: StreamCut) => void;
}

export interface CopyReport {
  readonly events: number;
  readonly streams: number;
  /** Number of events that this call appended. The target already held all other events. */
  readonly appended: number;
  /** The streams that were left out, because they are quarantined. */
  readonly quarantined: readonly string[];
}

/** A copy, and the streams that it leaves out. */
interface Selection extends CopyOptions {
  readonly quarantines: QuarantinesInForce;
}

const REASON = 'Copied to another store';

/**
 * Copies the book of record: every event except seals (the closing events of a log that is being moved) and quarantined
 * streams, in the whole log's order. Each event keeps its id, type, data and metadata, so the hash chain stays the same.
 * 1. Verifies that no stream of the target is cut, and that the target is empty or holds the beginning of the source
 *    (from an earlier run).
 * 2. Seals the source, and waits until every append that began before the seal has ended. The source stays sealed.
 * 3. Appends the events that the target lacks.
 * 4. Reads the whole target again and compares every stream.
 *
 * Events that the source lacks are missing from the source, whatever the target holds: the error says so. Throws
 * `CopyRefused`, `LogUnavailable`. If the signal aborts, throws the signal's reason (during the wait in step 2,
 * an `AbortError`). After any of these errors, the same copy can be started again.
 */
export async function copyLog(copy: CopyOptions): Promise<CopyReport> {
  const { source, target, signal, onProgress, onCut } = copy;
  if ((await readLogId(source)) === undefined) throw new CopyRefused('The source holds no event log of ours');
  if (await isSealed(target)) throw new CopyRefused('The target is sealed: unseal it first, if it is the right one');
  const [cut] = await target.findCuts(signal);
  if (cut) throw new CopyRefused(`The target would lose events: ${cut.stream} ${cut.how}`);
  const quarantines = await readQuarantines(source);
  const cuts = (await source.findCuts(signal)).filter(({ stream }) => !quarantines.has(stream));
  cuts.forEach(onCut);
  const options = { ...copy, quarantines };
  const tally = new Tally();
  const verifiedTo = await verifyPrefix(options, tally);
  const seal = await sealSource(options);
  onProgress('settling', 0, tally.eventCount);
  await delay(source.sealHoldsAfterMs, undefined, { signal });
  if (namesOf(await readQuarantines(source)) !== namesOf(quarantines)) {
    throw new CopyRefused('A stream was quarantined meanwhile, or a quarantine was lifted: repeat the copy');
  }
  const found = tally.eventCount;
  await copyAfter(verifiedTo, options, tally);
  for (const { stream } of cuts) if (!tally.lastOf(stream)) await requireInSource(source, stream, 0n);
  await compare(options, tally);
  if ((await sealOf(source))?.eventId !== seal) {
    throw new CopyRefused('The source was unsealed meanwhile, and may have gone on: the two are different books');
  }
  return {
    ...{ events: tally.eventCount, streams: tally.streamCount, appended: tally.eventCount - found },
    quarantined: [...quarantines.keys()],
  };
}

const namesOf = (quarantines: QuarantinesInForce): string => [...quarantines.keys()].sort().join(' ');

/**
 * Verifies that the target holds the beginning of the source. Returns the position, in the source, of the last event
 * that the target also holds; `undefined` if the target is empty. Throws `CopyRefused` if the target's events differ
 * from the source's.
 */
async function verifyPrefix(
  { source, target, signal, quarantines, onProgress }: Selection,
  tally: Tally,
): Promise<Position | undefined> {
  const end = await target.end();
  const originals = bookEvents(source, { signal, quarantines });
  let verifiedTo: Position | undefined;
  for await (const copy of bookEvents(target, { signal, quarantines })) {
    const { value: original } = await originals.next();
    if (!original || !isCopy(copy, original)) {
      const { stream, revision } = copy;
      await requireInSource(source, stream, revision);
      throw new CopyRefused(`The target holds another log than the source, from revision ${revision} of ${stream} on`);
    }
    tally.add(original);
    verifiedTo = original.position;
    onProgress('verifying', shareOf(copy.position, end), tally.eventCount);
  }
  return verifiedTo;
}

/** Throws `CopyRefused` if the source has had an event of this revision, and has lost it. */
async function requireInSource(source: EventLog, stream: string, revision: Revision): Promise<void> {
  try {
    await source.readStream(stream, { from: revision, limit: 1 });
  } catch (error) {
    throw error instanceof HistoryMissing ? incomplete(error) : error;
  }
}

/** Throws `CopyRefused` if events are missing before or between these events of one stream. */
function requireNoGap(run: readonly RecordedEvent[], tally: Tally): void {
  for (const [index, { stream, revision }] of run.entries()) {
    // Seals are not copied, so stream `log` has gaps.
    if (stream === LOG_STREAM) return;
    const next = (run[index - 1] ?? tally.lastOf(stream) ?? { revision: -1n }).revision + 1n;
    if (revision > next) throw incomplete(eventsMissing(stream, next, revision - 1n));
  }
}

const incomplete = (cause: HistoryMissing): CopyRefused =>
  new CopyRefused(`The source is not complete: ${cause.message}`, { cause });

const isCopy = (copy: RecordedEvent, original: RecordedEvent): boolean =>
  copy.eventId === original.eventId &&
  copy.stream === original.stream &&
  copy.revision === original.revision &&
  copy.metadata.hash === original.metadata.hash;

/**
 * Seals the source, and returns the id of the seal's event. Throws `CopyRefused` if source and target are the same log.
 */
async function sealSource({ source, target, now }: CopyOptions): Promise<string | undefined> {
  const isNew = await sealLog(source, { reason: REASON, now });
  const seal = await sealOf(source);
  if (!(await isSealed(target))) return seal?.eventId;
  if (isNew) await unsealLog(source, { reason: 'Source and target are the same log', now });
  throw new CopyRefused('Source and target are the same log');
}

async function copyAfter(
  after: Position | undefined,
  { source, target, signal, quarantines, onProgress }: Selection,
  tally: Tally,
): Promise<void> {
  const end = await source.end();
  for await (const run of runsOf(bookEvents(source, { signal, quarantines, after }))) {
    signal.throwIfAborted();
    requireNoGap(run, tally);
    await append(target, run);
    for (const event of run) tally.add(event);
    onProgress('copying', shareOf(run.at(-1)?.position, end), tally.eventCount);
  }
}

/** Appends the events in one append. A server may have been given a lower limit than ours: then they go in two parts. */
async function append(target: EventLog, run: readonly RecordedEvent[]): Promise<void> {
  const [first] = run;
  if (!first) return;
  const { stream, revision } = first;
  const events = run.map(({ eventId, type, data, metadata }) => ({ eventId, type, data, metadata }));
  try {
    await target.append(stream, revision === 0n ? 'none' : revision - 1n, events);
  } catch (error) {
    if (error instanceof EventTooLarge && run.length > 1) {
      const middle = Math.ceil(run.length / 2);
      await append(target, run.slice(0, middle));
      return append(target, run.slice(middle));
    }
    if (!(error instanceof RevisionConflict)) throw error;
    throw new CopyRefused(`Something else writes to ${stream} of the target`, { cause: error });
  }
}

/** Verifies the target's hash chains. Compares each stream's number of events, last revision and last hash. */
async function compare({ target, signal, quarantines, onProgress }: Selection, expected: Tally): Promise<void> {
  const actual = new Tally();
  for await (const event of bookEvents(target, { signal, quarantines })) {
    const { stream, revision } = event;
    const verdict = await verifyChain(stream, [event], actual.lastOf(stream));
    if (!verdict.whole)
      throw new CopyRefused(`${stream} of the copy is broken at revision ${revision}: ${verdict.fault}`);
    actual.add(event);
    onProgress('comparing', actual.eventCount / expected.eventCount, expected.eventCount);
  }
  const different = expected.differencesFrom(actual);
  if (different.length === 0) return;
  throw new CopyRefused(
    `Streams of the copy that differ: ${different.length}, such as ${different.slice(0, 10).join(', ')}`,
  );
}

/**
 * Returns the share of the log that comes before `position`, from 0 to 1. The share is for display only: positions are
 * opaque, but both stores happen to use numbers.
 */
const shareOf = (position: Position | undefined, end: Position | undefined): number =>
  position === undefined || end === undefined ? 0 : Math.min(1, Number(position) / Number(end));
