import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createCommand, Option } from 'commander';
import type { Instant, WorkspaceId } from '#domain';
import { systemClock } from '#platform/without-http';
import { accessReview, pastMomentOf, type ReviewFormat, reviewManifest } from '#replay';
import { readLastTreeHead } from '#tree-heads';
import { prepareNamedDirectory } from '../environment.js';
import { usageError } from '../exit.js';
import { instantIn } from '../instant.js';
import { counted, printResult } from '../output.js';
import { withHistories } from './read-models.js';

interface ReviewOptions {
  readonly workspace: WorkspaceId;
  readonly at?: Instant;
}

/** `access-review`: writes every client × credential × subscription of a workspace as of a moment. */
export const accessReviewCommand = () =>
  createCommand('access-review')
    .description('write which credentials a workspace had at a moment, and what they opened, as CSV and NDJSON')
    .argument('<directory>', 'the files are written into it, and must be new')
    .addOption(new Option('--workspace <id>', 'whose clients').makeOptionMandatory())
    .addOption(new Option('--at <time>', 'as of this moment; now by default').argParser(instantIn))
    .action(review);

const review = (directory: string, { workspace: workspaceId, at: asked }: ReviewOptions): Promise<void> =>
  withHistories(async (book, histories) => {
    const [csv, ndjson, manifestFile] = newFiles(directory);
    const moment = await pastMomentOf(book, { at: asked, now: systemClock().toISOString() });
    const question = { workspaceId, moment };
    const treeHead = (await readLastTreeHead(book.log)).head?.note ?? null;
    try {
      const files = { csv: openSync(csv, 'wx'), ndjson: openSync(ndjson, 'wx') };
      const write = (text: string, format: ReviewFormat) => writeSync(files[format], text);
      const manifest = await reviewManifest(accessReview(book, histories, question), question, treeHead, write);
      for (const file of Object.values(files)) {
        fsyncSync(file);
        closeSync(file);
      }
      writeFileSync(manifestFile, `${JSON.stringify(manifest, undefined, 2)}\n`, { flag: 'wx', flush: true });
      printResult(manifest, [
        `${counted(manifest.rows, 'row')} as of ${moment.at} in ${directory}: access-review.csv, the same as NDJSON,`,
        'and access-review.json with the hashes of both',
        ...(manifest.unreadableRows === 0
          ? []
          : [`${counted(manifest.unreadableRows, 'row')} about what is damaged: look for UNREADABLE and QUARANTINED`]),
      ]);
    } catch (error) {
      // Half a review looks like a whole one.
      for (const path of [csv, ndjson, manifestFile]) rmSync(path, { force: true });
      throw error;
    }
  });

/** Returns the paths of the files. Throws an error of usage if one of them exists. */
function newFiles(directory: string): readonly [csv: string, ndjson: string, manifest: string] {
  prepareNamedDirectory(directory, 'The directory');
  const named = (suffix: string) => join(directory, `access-review.${suffix}`);
  const paths = [named('csv'), named('ndjson'), named('json')] as const;
  const existing = paths.find((path) => existsSync(path));
  if (existing !== undefined) throw usageError(`${existing} exists`);
  return paths;
}
