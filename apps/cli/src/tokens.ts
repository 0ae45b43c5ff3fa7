import { Command, InvalidArgumentError, Option } from 'commander';
import { type ClientId, type Instant, type WorkspaceId, isClientId } from '#domain';
import type { BookOfRecord } from '#event-log';
import { systemClock } from '#platform';
import { operatorContext, subjectOption, withBook } from './book.js';
import { wholeLog } from './whole-log.js';

interface EndOptions {
  readonly client?: ClientId;
  readonly workspace?: WorkspaceId;
  readonly all?: true;
  readonly issuedBefore?: Instant;
  readonly subject: string;
}

interface FoundClient {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
}

const AT_ONCE = 16;
const PROGRESS_EVERY = 1000;

/** `tokens end`: break glass. */
export const tokensCommand = (): Command =>
  new Command('tokens').description('the tokens of consumer clients').addCommand(
    new Command('end')
      .description('refuse, everywhere, every token that was issued before now; clients log in again')
      .addOption(new Option('--client <id>', 'of one client').argParser(clientIdIn))
      .addOption(new Option('--workspace <id>', 'of all clients of a workspace').conflicts('client'))
      .addOption(new Option('--all', 'of all clients').conflicts(['client', 'workspace']))
      .addOption(
        new Option('--issued-before <time>', 'go on with a run that was cut short: the time that it printed').argParser(
          instantIn,
        ),
      )
      .addOption(subjectOption())
      .action(async ({ issuedBefore = systemClock().toISOString(), ...options }: EndOptions) => {
        if (options.client === undefined && options.workspace === undefined && options.all !== true) {
          throw new Error('Say whose: --client, --workspace or --all');
        }
        console.error(`If this is cut short, go on with --issued-before ${issuedBefore}`);
        await withBook((book) => endTokens(book, issuedBefore, options));
      }),
  );

/** Done again for the same moment it appends nothing where it was done: so a run that was cut short goes on. */
async function endTokens(book: BookOfRecord, issuedBefore: Instant, options: EndOptions): Promise<void> {
  let clients = 0;
  let ended = 0;
  const end = async ({ clientId, workspaceId }: FoundClient) => {
    const command = { type: 'EndTokens', issuedBefore, at: systemClock().toISOString() } as const;
    const { outcome } = await book.clients.execute(clientId, command, operatorContext(options.subject, workspaceId));
    if (outcome === 'changed') ended += 1;
    clients += 1;
    if (clients % PROGRESS_EVERY === 0) console.error(`${clients} clients, ${ended} ended`);
  };
  for await (const found of inGroups(clientsOf(book, options), AT_ONCE)) await Promise.all(found.map(end));
  // A name that was mistyped in haste must not look like tokens that have ended.
  if (clients === 0 && options.workspace !== undefined)
    throw new Error(`No client is of workspace ${options.workspace}`);
  console.log(`${clients} clients, ${ended} ended`);
}

async function* clientsOf({ log, clients }: BookOfRecord, options: EndOptions): AsyncGenerator<FoundClient> {
  const { client: clientId, workspace, all } = options;
  if (clientId !== undefined) {
    const { state } = await clients.read(clientId);
    if (state.status === 'NONE') throw new Error(`There is no client ${clientId}`);
    yield { clientId, workspaceId: state.workspaceId };
    return;
  }
  for await (const { type, data } of wholeLog(log)) {
    if (type === 'ConsumerClientCreated' && (all || data.workspaceId === workspace)) yield data;
  }
}

async function* inGroups<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const item of items) {
    group.push(item);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

function clientIdIn(value: string): ClientId {
  if (!isClientId(value)) throw new InvalidArgumentError('No client has such an id.');
  return value;
}

function instantIn(value: string): Instant {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('An ISO 8601 time is needed.');
  return date.toISOString();
}
