import { createCommand, InvalidArgumentError, Option } from 'commander';
import type { WorkspaceId } from '#domain';
import { configurationFrom } from '#platform/without-http';
import { type BuildName, type ClientDocument, clients, NotReady, type ReadStore, searchKey } from '#read-models';
import { printResult, tableLines } from '../output.js';
import { withReadStore } from '../projections.js';

interface FindOptions {
  readonly workspace?: WorkspaceId;
  /** The largest number of clients that are printed. */
  readonly limit: number;
}

const PAGE = 200;

/** `clients find`: finds active and revoked clients by the beginning of their names, in the read models. */
export const findCommand = () =>
  createCommand('find')
    .description('find active and revoked clients in the read models')
    .argument('[name]', 'how the name begins, in any case', '')
    .addOption(new Option('--workspace <id>', 'of this workspace only; without it, all clients are looked through'))
    .addOption(new Option('--limit <number>', 'how many are shown').argParser(limitIn).default(50))
    .action((name: string, options: FindOptions) =>
      withReadStore(configurationFrom(process.env), { create: false }, (store) => find(store, name, options)),
    );

function limitIn(value: string): number {
  const limit = Number(value);
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE) {
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${PAGE}.`);
  }
  return limit;
}

async function find(store: ReadStore, name: string, { workspace, limit }: FindOptions): Promise<void> {
  const build = await store.served(clients.name, clients.version);
  if (build === undefined) throw new NotReady(clients.name);
  const key = searchKey(name);
  // One more than is shown tells whether there are more.
  const search = { key, limit: limit + 1 };
  const found = await (workspace === undefined
    ? inAll(store, build, search)
    : inWorkspace(store, build, workspace, search));
  const shown = found.slice(0, limit).map(({ clientId, workspaceId, status, authenticationType, name: itsName }) => ({
    ...{ clientId, workspaceId, status, authenticationType },
    name: itsName,
  }));
  const columns = ['CLIENT', 'WORKSPACE', 'STATUS', 'TYPE', 'NAME'];
  printResult(shown, tableLines(columns, shown.map(Object.values<string>)));
  if (found.length > limit) console.error('There are more: give more of the name, or a greater --limit');
  if (found.length === 0) console.error('No client was found');
}

interface Search {
  /** The beginning of the name, as a search key. */
  readonly key: string;
  readonly limit: number;
}

async function inWorkspace(
  store: ReadStore,
  build: BuildName,
  workspaceId: WorkspaceId,
  { key, limit }: Search,
): Promise<ClientDocument[]> {
  const pages = (['ACTIVE', 'REVOKED'] as const).map((status) =>
    store.find<ClientDocument>(build, {
      equals: { workspaceId, status },
      ...(key !== '' && { prefix: { field: 'nameKey', value: key } }),
      sort: { field: 'nameKey', direction: 'asc' },
      limit,
    }),
  );
  return (await Promise.all(pages)).flat().map(({ doc }) => doc);
}

/** Looks through all clients, in the order of their ids. */
async function inAll(store: ReadStore, build: BuildName, { key, limit }: Search): Promise<ClientDocument[]> {
  const found: ClientDocument[] = [];
  let afterId: string | undefined;
  do {
    const page = await store.scan<ClientDocument>(build, afterId, PAGE);
    found.push(...page.map(({ doc }) => doc).filter(({ nameKey }) => nameKey.startsWith(key)));
    afterId = page.length === PAGE ? page.at(-1)?.id : undefined;
  } while (afterId !== undefined && found.length < limit);
  return found;
}
