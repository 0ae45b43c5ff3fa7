import { createHash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCommand, Option } from 'commander';
import type { Instant, WorkspaceId } from '#domain';
import { systemClock } from '#platform/without-http';
import {
  accessReview,
  pastMomentOf,
  type ReviewFormat,
  type ReviewManifest,
  reviewManifest,
  type ReviewRow,
} from '#replay';
import { readLastTreeHead } from '#tree-heads';
import { prepareNamedDirectory } from '../environment.js';
import { usageError } from '../exit.js';
import { instantIn } from '../instant.js';
import { counted, printResult } from '../output.js';
import { LONG_WORK_MS, ProgressBar } from '../progress-bar.js';
import type { AuditedService } from './audited-service.js';
import { withHistories } from './read-models.js';
import { requireWorkspace, serviceOf, type SourceOptions, withSourceOptions, workspaceOption } from './sources.js';

/** Number of rows after which the progress is shown again. */
const ROWS_PER_SIGN = 500;

interface ReviewOptions extends SourceOptions {
  readonly workspace?: WorkspaceId;
  readonly at?: Instant;
}

/** `access-review`: writes every client × credential × subscription of a workspace as of a moment. */
export const accessReviewCommand = () =>
  withSourceOptions(createCommand('access-review'))
    .description('write which credentials a workspace had at a moment, and what they opened, as CSV and NDJSON')
    .argument('<directory>', 'the files are written into it, and must be new')
    .addOption(workspaceOption())
    .addOption(new Option('--at <time>', 'as of this moment; now by default').argParser(instantIn))
    .action(async (directory: string, options: ReviewOptions) => {
      const service = serviceOf(options, options.workspace);
      await review(directory, (write) =>
        service ? reviewFrom(service, options, write) : reviewOfStores(options, write),
      );
    });

/** Gets the text of both files, piece by piece. */
type WriteReview = (text: string | Uint8Array, format: ReviewFormat) => void;

async function review(directory: string, written: (write: WriteReview) => Promise<ReviewManifest>): Promise<void> {
  const [csv, ndjson, manifestFile] = newFiles(directory);
  let files: Readonly<Record<ReviewFormat, number>> | undefined;
  try {
    // Nothing is made before there is something to write.
    const opened = () => {
      prepareNamedDirectory(directory, 'The directory');
      return { csv: openSync(csv, 'wx'), ndjson: openSync(ndjson, 'wx') };
    };
    const manifest = await written((text, format) => {
      files ??= opened();
      writeFileSync(files[format], text);
    });
    for (const file of Object.values(files ?? opened())) {
      fsyncSync(file);
      closeSync(file);
    }
    writeFileSync(manifestFile, `${JSON.stringify(manifest, undefined, 2)}\n`, { flag: 'wx', flush: true });
    printResult(manifest, [
      `${counted(manifest.rows, 'row')} as of ${manifest.query.at} in ${directory}: access-review.csv, the same as`,
      'NDJSON, and access-review.json with the hashes of both',
      ...(manifest.unreadableRows === 0
        ? []
        : [`${counted(manifest.unreadableRows, 'row')} about what is damaged: look for UNREADABLE and QUARANTINED`]),
    ]);
  } catch (error) {
    // Half a review looks like a whole one.
    if (files) for (const path of [csv, ndjson, manifestFile]) rmSync(path, { force: true });
    throw error;
  }
}

const reviewOfStores = ({ workspace, at }: ReviewOptions, write: WriteReview) => {
  const workspaceId = requireWorkspace(workspace);
  return withHistories(async (book, histories) => {
    const moment = await pastMomentOf(book, { at, now: systemClock().toISOString() });
    const question = { workspaceId, moment };
    const treeHead = (await readLastTreeHead(book.log)).head?.note ?? null;
    const rows = shown(accessReview(book, histories, question));
    return reviewManifest(rows, question, treeHead, write);
  });
};

/** Yields the rows, and shows their number while there are many. */
async function* shown(rows: AsyncIterable<ReviewRow>): AsyncGenerator<ReviewRow> {
  const bar = new ProgressBar(LONG_WORK_MS);
  let count = 0;
  try {
    for await (const row of rows) {
      count += 1;
      if (count % ROWS_PER_SIGN === 0) bar.show('writing', 0, counted(count, 'row'));
      yield row;
    }
  } finally {
    bar.stop();
  }
}

/** Asks for the manifest, and then for the files that must fit it. */
async function reviewFrom(service: AuditedService, { at }: ReviewOptions, write: WriteReview): Promise<ReviewManifest> {
  const path = '/v1/access-review';
  const manifest = await service.json<ReviewManifest>(path, { at, format: 'manifest' });
  const { at: asOf, position } = manifest.query;
  for (const format of ['csv', 'ndjson'] as const) {
    const { body } = await service.ask(path, { at: asOf, position, format });
    const hash = createHash('sha256');
    for await (const piece of body ?? []) {
      write(piece as Uint8Array, format);
      hash.update(piece as Uint8Array);
    }
    const expected = manifest.files.find(({ name }) => name.endsWith(`.${format}`))?.sha256;
    if (hash.digest('hex') !== expected) throw new Error(`The ${format} file does not fit its manifest: try again`);
  }
  return manifest;
}

/** Returns the paths of the files. Throws an error of usage if one of them exists. */
function newFiles(directory: string): readonly [csv: string, ndjson: string, manifest: string] {
  const named = (suffix: string) => join(directory, `access-review.${suffix}`);
  const paths = [named('csv'), named('ndjson'), named('json')] as const;
  const existing = paths.find((path) => existsSync(path));
  if (existing !== undefined) throw usageError(`${existing} exists`);
  return paths;
}
