import { createCommand, Option } from 'commander';
import type { WorkspaceId } from '#domain';
import type { Position } from '#events';
import { type Change, type ChangedStream, diffOf, lastEventAt } from '#replay';
import { printResult } from '../output.js';
import { positionIn } from './basis-options.js';
import { withHistories } from './read-models.js';

const PAGE = 200;

interface DiffOptions {
  readonly workspace: WorkspaceId;
  readonly from: Position;
  readonly to?: Position;
}

/** `diff`: prints what changed in a workspace between two places in the log. */
export const diffCommand = () =>
  createCommand('diff')
    .description('show what changed in a workspace between two places in the log')
    .addOption(new Option('--workspace <id>', 'whose clients and subscriptions').makeOptionMandatory())
    .addOption(
      new Option('--from <position>', 'the earlier place (20 digits)').argParser(positionIn).makeOptionMandatory(),
    )
    .addOption(new Option('--to <position>', 'the later place; the end of the log by default').argParser(positionIn))
    .action(show);

const show = ({ workspace: workspaceId, from, to: asked }: DiffOptions): Promise<void> =>
  withHistories(
    async (book, histories) => {
      const to = asked ?? (await book.log.end()) ?? from;
      await lastEventAt(book, to, 'to');
      const items: ChangedStream[] = [];
      for (let after: Position | undefined; ;) {
        const { entries, next } = await diffOf(book, histories, { workspaceId, from, to, after, limit: PAGE });
        items.push(...entries);
        if (next === undefined) break;
        after = next;
      }
      printResult({ from, to, items }, items.flatMap(linesOf));
      if (items.length === 0) console.error('Nothing changed');
    },
    () => Promise.resolve(asked),
  );

const linesOf = ({ stream, position, unreadable, changes }: ChangedStream): string[] => [
  `${position}  ${stream}`,
  ...(unreadable === undefined ? linesOfChanges(changes) : [`  ${unreadable}: its history can't be read`]),
];

const linesOfChanges = (changes: readonly Change[]): string[] =>
  changes.length === 0 ? ['  changed, and changed back'] : changes.map(lineOf);

const lineOf = ({ change, of, before, after }: Change): string =>
  [
    `  ${change}`,
    ...(of === undefined ? [] : [of]),
    ...(before === undefined ? [] : [before, '→']),
    ...(after === undefined ? [] : [after]),
  ].join(' ');
