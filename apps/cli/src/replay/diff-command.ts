import { createCommand, Option } from 'commander';
import type { WorkspaceId } from '#domain';
import type { Position } from '#events';
import { type Change, type ChangedStream, diffOf, lastEventAt } from '#replay';
import { printResult } from '../output.js';
import type { AuditedService } from './audited-service.js';
import { positionIn } from './basis-options.js';
import { withHistories } from './read-models.js';
import { requireWorkspace, serviceOf, type SourceOptions, withSourceOptions, workspaceOption } from './sources.js';

const PAGE = 200;

interface DiffOptions extends SourceOptions {
  readonly workspace?: WorkspaceId;
  readonly from: Position;
  readonly to?: Position;
}

interface Diff {
  readonly from: Position;
  readonly to: Position;
  readonly items: readonly ChangedStream[];
}

/** `diff`: prints what changed in a workspace between two places in the log. */
export const diffCommand = () =>
  withSourceOptions(createCommand('diff'))
    .description('show what changed in a workspace between two places in the log')
    .addOption(workspaceOption())
    .addOption(
      new Option('--from <position>', 'the earlier place (20 digits)').argParser(positionIn).makeOptionMandatory(),
    )
    .addOption(new Option('--to <position>', 'the later place; the end of the log by default').argParser(positionIn))
    .action(async (options: DiffOptions) => {
      const service = serviceOf(options, options.workspace);
      const diff = service ? await diffFrom(service, options) : await diffOfStores(options);
      printResult(diff, diff.items.flatMap(linesOf));
      if (diff.items.length === 0) console.error('Nothing changed');
    });

async function diffFrom(service: AuditedService, { from, to: asked }: DiffOptions): Promise<Diff> {
  let to = asked ?? from;
  const items: ChangedStream[] = [];
  const pages = service.pages<Diff>('/v1/diff', { from, to: asked }, { beside: (page) => ({ to: page.to }) });
  for await (const page of pages) {
    items.push(...page.items);
    to = page.to;
  }
  return { from, to, items };
}

const diffOfStores = ({ workspace, from, to: asked }: DiffOptions): Promise<Diff> => {
  const workspaceId = requireWorkspace(workspace);
  return withHistories(
    async (book, histories) => {
      const to = asked ?? (await book.log.end()) ?? from;
      await lastEventAt(book, to, 'to');
      const items: ChangedStream[] = [];
      for (let after: Position | undefined; ;) {
        const { entries, next } = await diffOf(book, histories, { workspaceId, from, to, after, limit: PAGE });
        items.push(...entries);
        if (next === undefined) return { from, to, items };
        after = next;
      }
    },
    () => Promise.resolve(asked),
  );
};

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
