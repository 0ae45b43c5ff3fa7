import { hash, randomUUID } from 'node:crypto';
import type { Revision } from '#events';
import { fromCheckedText, toCheckedText } from './checked-text.js';

/** Number of segments that are written together, and number of runs that are merged into one. */
const FANOUT = 8;
/** The largest number of segments of a run. Runs of this size are not merged any more. */
const MOST_SEGMENTS = FANOUT ** 3;
/** The usual number of entries of a segment is between this number and eight times this number. */
const SEGMENT_ENTRIES = 500;
/** Largest number of entries of a new run. With this limit, eight segments are smaller than `MAX_APPEND_BYTES`. */
const MOST_ENTRIES = 1_000_000;
/** An entry is 12 bytes: the first 8 bytes of the id's SHA-256, and the distance of the revision from `Run.from`. */
const ENTRY_BYTES = 12;

/**
 * A part of the index that tells which commands a stream's events carried out. This index answers whether a command id
 * was used before, without reading the stream and without keeping all ids in memory.
 *
 * 1. A run covers the commands of some consecutive events. It consists of 1, 8, 64 or 512 segments. The first bits of
 *    an id's hash tell the segment that has the id's entry. So a lookup reads one segment of each run.
 * 2. Each snapshot adds a run. Eight runs of the same number of segments are merged into one run with eight times as
 *    many segments. So there are only some ten runs per million events.
 * 3. Segments are stored as parts (see `SnapshotStore`), and are never changed. A segment names its run, and has a
 *    checksum. If a segment is missing or damaged, `IndexIncomplete` is thrown.
 * 4. An entry is only a hint, because two ids may have the same hash. So the caller reads the event.
 */
export interface Run {
  readonly id: string;
  /** No entry has a smaller revision. */
  readonly from: number;
  readonly segments: number;
  /** The numbers of the parts that hold segments 0, 8, 16 and so on. The segments in between follow these parts. */
  readonly groups: readonly number[];
}

interface Segment {
  readonly run: string;
  readonly segment: number;
  /** The entries, in base64. */
  readonly entries: string;
}

/** Reads and writes the parts of one stream. */
export interface Parts {
  read(number: number): Promise<string | undefined>;
  write(parts: readonly string[]): Promise<number>;
}

/** Thrown if a segment is missing or damaged. The index must then be made again from the stream's events. */
export class IndexIncomplete extends Error {
  override readonly name = 'IndexIncomplete';
}

/**
 * Returns the revisions at which the command's last event may be, latest first. No other event of these runs belongs to
 * the command. Throws `IndexIncomplete`, and what `parts` throws.
 */
export async function revisionsOf(parts: Parts, runs: readonly Run[], commandId: string): Promise<Revision[]> {
  const key = keyOf(commandId);
  const found = await Promise.all(
    runs.map(async (run) => {
      const entries = await readSegment(parts, run, segmentOf(key, run.segments));
      const revisions: Revision[] = [];
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
        if (key.compare(entries, at, at + key.length) === 0) revisions.push(revisionAt(entries, at, run));
      }
      return revisions;
    }),
  );
  return found.flat().sort((a, b) => Number(b - a));
}

/** Adds commands to the index. Returns all its runs. Throws `IndexIncomplete`, and what `parts` throws. */
export async function withCommands(
  parts: Parts,
  runs: readonly Run[],
  commands: readonly (readonly [commandId: string, revision: Revision])[],
): Promise<Run[]> {
  const all = [...runs];
  for (let at = 0; at < commands.length; at += MOST_ENTRIES) {
    all.push(await newRun(parts, commands.slice(at, at + MOST_ENTRIES)));
  }
  for (let segments = 1; segments < MOST_SEGMENTS; segments *= FANOUT) {
    for (;;) {
      const merged = all.filter((run) => run.segments === segments).slice(0, FANOUT);
      if (merged.length < FANOUT) break;
      const into = await mergedRun(parts, merged, segments);
      all.splice(0, all.length, ...all.filter((run) => !merged.includes(run)), into);
    }
  }
  return all;
}

async function newRun(parts: Parts, commands: readonly (readonly [string, Revision])[]): Promise<Run> {
  let segments = 1;
  while (segments < MOST_SEGMENTS && commands.length >= segments * FANOUT * SEGMENT_ENTRIES) segments *= FANOUT;
  const from = commands.reduce((least, [, revision]) => Math.min(least, Number(revision)), Infinity);
  const entries: Buffer[][] = Array.from({ length: segments }, () => []);
  for (const [commandId, revision] of commands) {
    const entry = entryOf(keyOf(commandId), Number(revision) - from);
    entries[segmentOf(entry, segments)]?.push(entry);
  }
  const id = randomUUID();
  const groups: number[] = [];
  for (let first = 0; first < segments; first += FANOUT) {
    groups.push(await writeGroup(parts, id, first, entries.slice(first, first + FANOUT)));
  }
  return { id, from, segments, groups };
}

async function mergedRun(parts: Parts, runs: readonly Run[], segments: number): Promise<Run> {
  const id = randomUUID();
  const from = Math.min(...runs.map((run) => run.from));
  const groups: number[] = [];
  for (let segment = 0; segment < segments; segment++) {
    const group: Buffer[][] = Array.from({ length: FANOUT }, () => []);
    const read = await Promise.all(runs.map(async (run) => ({ run, entries: await readSegment(parts, run, segment) })));
    for (const { run, entries } of read) {
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
        const entry = entryOf(entries.subarray(at, at + 8), Number(revisionAt(entries, at, run)) - from);
        group[segmentOf(entry, segments * FANOUT) - segment * FANOUT]?.push(entry);
      }
    }
    groups.push(await writeGroup(parts, id, segment * FANOUT, group));
  }
  return { id, from, segments: segments * FANOUT, groups };
}

const writeGroup = (parts: Parts, run: string, first: number, group: readonly Buffer[][]): Promise<number> =>
  parts.write(
    group.map((entries, index): string => {
      const segment: Segment = { run, segment: first + index, entries: Buffer.concat(entries).toString('base64') };
      return toCheckedText(segment);
    }),
  );

async function readSegment(parts: Parts, { id, groups }: Run, segment: number): Promise<Buffer> {
  const group = groups[Math.floor(segment / FANOUT)] ?? -1;
  const found = fromCheckedText(await parts.read(group + (segment % FANOUT))) as Segment | undefined;
  if (found?.run !== id || found.segment !== segment) throw new IndexIncomplete(`Segment ${segment} is missing`);
  return Buffer.from(found.entries, 'base64');
}

const keyOf = (commandId: string): Buffer => hash('sha256', commandId, 'buffer').subarray(0, 8);

function entryOf(key: Buffer, distance: number): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  key.copy(entry);
  entry.writeUInt32BE(distance, 8);
  return entry;
}

const revisionAt = (entries: Buffer, at: number, { from }: Run): Revision =>
  BigInt(from + entries.readUInt32BE(at + 8));

/** Returns the segment that has the entry of this key, if a run has this number of segments. */
const segmentOf = (key: Buffer, segments: number): number => Math.floor((key.readUInt32BE(0) / 2 ** 32) * segments);
