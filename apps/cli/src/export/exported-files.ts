import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ClientId, WorkspaceId } from '#domain';
import type { Position } from '#events';
import { canonicalJson } from '#events';
import { csvCell } from '#replay';
import { prepareNamedDirectory } from '../environment.js';
import { CommandFailed, ExitCode, usageError } from '../exit.js';
import { LONG_WORK_MS, ProgressBar } from '../progress-bar.js';
import { type PlacedEvent, START } from '../replay/audited-service.js';
import type { ExportSource, UnreadableEvent } from './export-sources.js';

export type ExportFormat = 'ndjson' | 'csv';

/** What is exported, and in which form. */
export interface ExportQuery {
  /** Absent with a service: the workspace of its token. */
  readonly workspaceId?: WorkspaceId;
  readonly clientId?: ClientId;
  readonly to?: Position;
  readonly format: ExportFormat;
}

/** How far an export has come. The file of events has been written to the disk up to `bytes`. */
interface ExportState {
  readonly query: ExportQuery;
  /** The position up to which the whole export goes. */
  readonly to: Position;
  /** The position up to which everything is in the file. */
  readonly through: Position;
  readonly bytes: number;
  readonly events: number;
  readonly unreadable: number;
}

/** What `export.json` says about an export. */
export interface ExportManifest extends Omit<ExportState, 'to'> {
  /** The newest signed head of the tree when the export ended. */
  readonly treeHead: string | null;
}

/** The time between two states that are stored, in ms. What was written since then is read again after a crash. */
const STORE_EVERY_MS = 1_000;

const COLUMNS = [
  ...['position', 'stream', 'revision', 'type', 'schemaVersion', 'eventId', 'occurredAt'],
  ...['actor', 'via', 'workspaceId', 'commandId', 'correlationId', 'causationId', 'previousHash', 'hash', 'data'],
];
const HEADERS: Readonly<Record<ExportFormat, string>> = { ndjson: '', csv: `${COLUMNS.join(',')}\r\n` };

/**
 * The files of an export: `events.ndjson` or `events.csv`, `export.json` about it, and `MANIFEST` with their hashes.
 * While it is written, `export.json.part` tells how far it has come: an interrupted export with the same query goes on
 * from there, and cuts off what came later. Holds one piece of the events in memory.
 */
export class ExportedFiles {
  private constructor(
    private readonly paths: ReturnType<typeof pathsIn>,
    private readonly file: FileHandle,
    private state: ExportState,
  ) {}

  /** Writes the export, or the rest of it. Throws an error of usage if the directory holds another one. */
  static async write(
    directory: string,
    {
      query,
      source,
      signal,
    }: { readonly query: ExportQuery; readonly source: ExportSource; readonly signal: AbortSignal },
  ): Promise<ExportManifest> {
    prepareNamedDirectory(directory, 'The directory');
    const paths = pathsIn(directory, query.format);
    const existing = [paths.about, paths.manifest].find((path) => existsSync(path));
    if (existing !== undefined) throw usageError(`${existing} exists`);
    const before = stateIn(paths.state);
    if (before === undefined && existsSync(paths.events)) throw usageError(`${paths.events} exists`);
    if (before && !isDeepStrictEqual(before.query, query)) {
      throw usageError(`${directory} holds an interrupted export of something else`);
    }
    const file = await open(paths.events, before ? 'r+' : 'wx', 0o600);
    try {
      const state = before ?? (await begun(file, query, await source.end(query.to)));
      await file.truncate(state.bytes);
      const files = new ExportedFiles(paths, file, state);
      await files.addParts(source, signal);
      return await files.finish(await source.treeHead());
    } finally {
      await file.close();
    }
  }

  private async addParts(source: ExportSource, signal: AbortSignal): Promise<void> {
    const { to, query } = this.state;
    const bar = new ProgressBar(LONG_WORK_MS);
    let storedAt = performance.now();
    await this.store();
    try {
      for await (const { events, through } of source.parts(this.state.through, to, signal)) {
        const text = Buffer.from(events.map((event) => lineOf(event, query.format)).join(''));
        await writeAll(this.file, text, this.state.bytes);
        this.state = {
          ...this.state,
          through,
          bytes: this.state.bytes + text.length,
          events: this.state.events + events.length,
          unreadable: this.state.unreadable + events.filter(({ event }) => event === null).length,
        };
        const now = performance.now();
        bar.show('writing', shareOf(through, to), `${this.state.events} events`);
        if (now - storedAt < STORE_EVERY_MS) continue;
        await this.store();
        storedAt = now;
      }
    } finally {
      bar.stop();
      await this.store();
    }
  }

  /** Stores the state, after what it says has reached the disk. */
  private async store(): Promise<void> {
    await this.file.sync();
    await writeDurably(`${this.paths.state}.new`, JSON.stringify(this.state));
    await rename(`${this.paths.state}.new`, this.paths.state);
  }

  private async finish(treeHead: string | null): Promise<ExportManifest> {
    const { query, through, bytes, events, unreadable } = this.state;
    const manifest: ExportManifest = { query, through, events, unreadable, bytes, treeHead };
    const about = `${JSON.stringify(manifest, undefined, 2)}\n`;
    const eventsHash = createHash('sha256');
    for await (const piece of createReadStream(this.paths.events)) eventsHash.update(piece as Buffer);
    await writeDurably(this.paths.about, about);
    const lines = [
      `${eventsHash.digest('hex')}  events.${query.format}`,
      `${createHash('sha256').update(about).digest('hex')}  export.json`,
    ];
    await writeDurably(this.paths.manifest, lines.map((line) => `${line}\n`).join(''));
    await rm(this.paths.state);
    return manifest;
  }
}

const pathsIn = (directory: string, format: ExportFormat) => ({
  events: join(directory, `events.${format}`),
  about: join(directory, 'export.json'),
  manifest: join(directory, 'MANIFEST'),
  state: join(directory, 'export.json.part'),
});

/** Returns the state of an interrupted export. Returns `undefined` if there is none. */
function stateIn(path: string): ExportState | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ExportState;
  } catch {
    throw new CommandFailed(ExitCode.FAILED, `${path} is damaged: remove the directory, and export again`);
  }
}

async function begun(file: FileHandle, query: ExportQuery, to: Position): Promise<ExportState> {
  const header = Buffer.from(HEADERS[query.format]);
  await writeAll(file, header, 0);
  return { query, to, through: START, bytes: header.length, events: 0, unreadable: 0 };
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

const shareOf = (through: Position, to: Position): number => Math.min(Number(through) / Number(to), 1);

function lineOf(placed: PlacedEvent | UnreadableEvent, format: ExportFormat): string {
  if (format === 'ndjson') return `${canonicalJson(placed)}\n`;
  const { position, stream, event } = placed;
  const { actor, data, ...fields } = event ?? {};
  const cells: Readonly<Record<string, unknown>> = {
    ...{ position, stream, ...fields },
    ...(actor && { actor: actor.subject, via: actor.via }),
    ...(data && { data: canonicalJson(data) }),
  };
  return `${COLUMNS.map((column) => csvCell(cells[column] as string | number | undefined)).join(',')}\r\n`;
}
