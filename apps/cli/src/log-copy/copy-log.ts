import { setTimeout as delay } from 'node:timers/promises';
import { type EventLog, RevisionConflict, isSealed, readLogId, sealLog, sealOf, unsealLog } from '#event-log';
import { type Position, type RecordedEvent, verifyChain } from '#events';
import { bookEvents, runsOf } from './book-events.js';
import { Tally } from './tally.js';

/** The copy can't be made, or is not what it should be; the message says why, and what to do. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

/** `settling`: the seal is there, and what was under way when it came is waited for. */
export type CopyPhase = 'verifying' | 'settling' | 'copying' | 'comparing';

export interface CopyOptions {
  readonly source: EventLog;
  readonly target: EventLog;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  /** `done`: of this phase, from 0 to 1; `events`: that are in the target. */
  readonly onProgress: (phase: CopyPhase, done: number, events: number) => void;
}

export interface CopyReport {
  readonly events: number;
  readonly streams: number;
  /** Events that this run appended; the others were there. */
  readonly appended: number;
}

const REASON = 'Copied to another store';

/**
 * Copies the book of record: every event of ours in the whole log's order, with its id, type, data and metadata, and so
 * with its hash chain; only seals stay behind. Goes on where an earlier run ended, whose events it finds as a prefix.
 * The source is sealed once the target is known to be good, and stays so.
 *
 * Throws `CopyRefused`, the signal's reason, `LogUnavailable`; after any of them the same copy may be made again.
 */
export async function copyLog(options: CopyOptions): Promise<CopyReport> {
  const { source, target, signal, onProgress } = options;
  if ((await readLogId(source)) === undefined) throw new CopyRefused('The source holds no event log of ours');
  if (await isSealed(target)) throw new CopyRefused('The target is sealed: unseal it first, if it is the right one');
  const tally = new Tally();
  const verifiedTo = await verifyPrefix(options, tally);
  const seal = await sealSource(options);
  onProgress('settling', 0, tally.eventCount);
  await delay(source.sealHoldsAfterMs, undefined, { signal });
  const found = tally.eventCount;
  await copyAfter(verifiedTo, options, tally);
  await compare(options, tally);
  if ((await sealOf(source))?.eventId !== seal) {
    throw new CopyRefused('The source was unsealed meanwhile, and may have gone on: the two are different books');
  }
  return { events: tally.eventCount, streams: tally.streamCount, appended: tally.eventCount - found };
}

/** Where the source's last event is that the target has; all that the target has must be the source's beginning. */
async function verifyPrefix(
  { source, target, signal, onProgress }: CopyOptions,
  tally: Tally,
): Promise<Position | undefined> {
  const end = await target.end();
  const originals = bookEvents(source, signal);
  let verifiedTo: Position | undefined;
  for await (const copy of bookEvents(target, signal)) {
    const { value: original } = await originals.next();
    if (!original || !isCopy(copy, original)) {
      const { stream, revision } = copy;
      throw new CopyRefused(`The target holds another log than the source, from revision ${revision} of ${stream} on`);
    }
    tally.add(original);
    verifiedTo = original.position;
    onProgress('verifying', shareOf(copy.position, end), tally.eventCount);
  }
  return verifiedTo;
}

const isCopy = (copy: RecordedEvent, original: RecordedEvent): boolean =>
  copy.eventId === original.eventId &&
  copy.stream === original.stream &&
  copy.revision === original.revision &&
  copy.metadata.hash === original.metadata.hash;

/** Answers the id of the event that seals it. */
async function sealSource({ source, target, now }: CopyOptions): Promise<string | undefined> {
  const isNew = await sealLog(source, { reason: REASON, now });
  const seal = await sealOf(source);
  if (!(await isSealed(target))) return seal?.eventId;
  if (isNew) await unsealLog(source, { reason: 'Source and target are the same log', now });
  throw new CopyRefused('Source and target are the same log');
}

async function copyAfter(
  after: Position | undefined,
  { source, target, signal, onProgress }: CopyOptions,
  tally: Tally,
): Promise<void> {
  const end = await source.end();
  for await (const run of runsOf(bookEvents(source, signal, after))) {
    signal.throwIfAborted();
    await append(target, run);
    for (const event of run) tally.add(event);
    onProgress('copying', shareOf(run.at(-1)?.position, end), tally.eventCount);
  }
}

async function append(target: EventLog, run: readonly [RecordedEvent, ...RecordedEvent[]]): Promise<void> {
  const [{ stream, revision }] = run;
  const events = run.map(({ eventId, type, data, metadata }) => ({ eventId, type, data, metadata }));
  try {
    await target.append(stream, revision === 0n ? 'none' : revision - 1n, events);
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    throw new CopyRefused(`Something else writes to ${stream} of the target`, { cause: error });
  }
}

/** Reads the whole target again: its chains, and of every stream the count, the last revision and the last hash. */
async function compare({ target, signal, onProgress }: CopyOptions, expected: Tally): Promise<void> {
  const actual = new Tally();
  for await (const event of bookEvents(target, signal)) {
    const { stream, revision } = event;
    const verdict = await verifyChain(stream, [event], actual.lastOf(stream));
    if (!verdict.whole)
      throw new CopyRefused(`${stream} of the copy is broken at revision ${revision}: ${verdict.fault}`);
    actual.add(event);
    onProgress('comparing', actual.eventCount / expected.eventCount, expected.eventCount);
  }
  const different = expected.differencesFrom(actual);
  if (different.length === 0) return;
  throw new CopyRefused(`${different.length} streams of the copy differ, such as ${different.slice(0, 10).join(', ')}`);
}

/** Positions are ordered as numbers too; a share is for the eye only. */
const shareOf = (position: Position | undefined, end: Position | undefined): number =>
  position === undefined || end === undefined ? 0 : Math.min(1, Number(position) / Number(end));
