import { createHash, randomUUID } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type ClientId, clientIdOf, type Instant, type WorkspaceId } from '#domain';
import { type BookOfRecord, concernsOneStream, eventsToNow, StoreUnavailable } from '#event-log';
import { type CommandContext, upcast, uuidV5 } from '#events';
import { systemClock } from '#platform/without-http';
import { asError } from '#read-models';
import { clientIdIn } from './client-id.js';
import { requireConfirmation } from './confirmation.js';
import { operatorContext, reasonOption, subjectOption, withBook } from './environment.js';
import { CommandFailed, ExitCode, notFound, usageError } from './exit.js';
import { instantIn } from './instant.js';
import { endOneManagementToken, listTokensCommand, tokenIdIn } from './management-tokens.js';
import { counted, printResult } from './output.js';
import { UUID } from './uuid.js';

interface EndOptions {
  readonly client?: ClientId;
  readonly workspace?: WorkspaceId;
  readonly all?: true;
  readonly yes?: true;
  readonly issuedBefore?: Instant;
  /** Names this run, so that a run that was cut short can be continued. */
  readonly run: string;
  readonly reason?: string;
  readonly subject: string;
}

interface FoundClient {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
}

const CONCURRENT_CLIENTS = 16;
const PROGRESS_EVERY = 1000;
/** The largest number of failed clients that are named. The others are only counted. */
const MAX_NAMED = 100;

/**
 * `tokens list`: the management tokens that `token` has made. `tokens end`: ends one of these, or in an emergency the
 * tokens of consumer clients: all, or those that were issued before a given moment.
 */
export const tokensCommand = (): Command =>
  new Command('tokens')
    .description('the tokens of consumer clients, and the management tokens that `token` has made')
    .addCommand(listTokensCommand())
    .addCommand(endCommand());

const endCommand = (): Command =>
  new Command('end')
    .description('refuse, everywhere, every token that was issued until now; clients log in again')
    .argument('[id]', 'a management token that `token` has made, and nothing else', tokenIdIn)
    .addOption(reasonOption())
    .addOption(new Option('--client <id>', 'of one client').argParser(clientIdIn))
    .addOption(new Option('--workspace <id>', 'of all clients of a workspace').conflicts('client'))
    .addOption(new Option('--all', 'of all clients').conflicts(['client', 'workspace']))
    .addOption(new Option('--yes', 'with --all: do not ask'))
    .addOption(
      new Option('--issued-before <time>', 'spare the tokens that were issued after this time').argParser(instantIn),
    )
    .addOption(
      new Option('--run <id>', 'go on with a run that was cut short: the id that it printed')
        .argParser(runIn)
        .default(randomUUID(), 'a new one'),
    )
    .addOption(subjectOption())
    .action(async (tokenId: string | undefined, options: EndOptions) => {
      const { client, workspace, all, issuedBefore } = options;
      if (tokenId !== undefined) {
        if ([client, workspace, all, issuedBefore].some((option) => option !== undefined)) {
          throw usageError('Name one management token, or whose tokens: not both');
        }
        return endOneManagementToken(tokenId, options);
      }
      if (options.client === undefined && options.workspace === undefined && options.all !== true) {
        throw usageError('Name a management token, or say whose tokens: --client, --workspace or --all');
      }
      if (options.all && !options.yes) {
        await requireConfirmation('This ends tokens of all clients of all workspaces, which then log in again.');
      }
      await withBook((book) => {
        console.error(`If this is cut short, repeat it with --run ${options.run}`);
        return endTokens(book, options);
      });
    });

/**
 * Ends the tokens of all selected clients. A client for which this fails (its stream is damaged, for example) does not
 * keep the others waiting: it is named, and the run goes on. At the end, throws an error if a client has failed. Throws at
 * once if the whole log does not answer or accepts nothing.
 */
async function endTokens(book: BookOfRecord, options: EndOptions): Promise<void> {
  const { issuedBefore, run } = options;
  let clients = 0;
  let ended = 0;
  let repeated = 0;
  let failed = 0;
  const end = async (found: FoundClient) => {
    const at = systemClock().toISOString();
    const command = { type: 'EndTokens', ...(issuedBefore !== undefined && { issuedBefore }), at } as const;
    const execute = () => book.clients.execute(found.clientId, command, { context: contextOf(found, options) });
    try {
      const { outcome } = await execute().catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error;
        // A very long stream may be read in more than one call. The next call goes on where this one has ended.
        return execute();
      });
      if (outcome === 'changed') ended += 1;
      if (outcome === 'repeated') repeated += 1;
    } catch (error) {
      const reread = () => book.clients.read(found.clientId);
      if (error instanceof StoreUnavailable && !(await concernsOneStream(book.log, reread))) throw error;
      failed += 1;
      if (failed <= MAX_NAMED) console.error(`${found.clientId} failed: ${asError(error).message}`);
    }
    clients += 1;
    if (clients % PROGRESS_EVERY === 0) console.error(`${clients} clients, ${ended} ended, ${failed} failed`);
  };
  for await (const found of inGroups(clientsOf(book, options), CONCURRENT_CLIENTS)) await Promise.all(found.map(end));
  // We throw here, so that a mistyped workspace does not look like a success.
  if (clients === 0 && options.workspace !== undefined)
    throw notFound(`No client is of workspace ${options.workspace}`);
  if (repeated > 0) {
    const passedOver = counted(repeated, 'client');
    console.error(`Passed over, since this run ended their tokens before: ${passedOver}. Newer tokens are still good.`);
  }
  printResult({ run, clients, ended, repeated, failed }, [`${counted(clients, 'client')}, ${ended} ended`]);
  if (failed > 0) {
    const message = `Not ended: the tokens of ${counted(failed, 'client')}. Repeat it with --run ${run}`;
    throw new CommandFailed(ExitCode.INCOMPLETE, message);
  }
}

const RUN_NAMESPACE = '4f1c52de-6a0b-4d0e-8a43-0d6a3c6d1b57';

/**
 * Derives the command's id from the run and the client. So if a run is repeated, it changes nothing for the clients
 * whose tokens it has ended before, whatever the clocks show.
 */
const contextOf = (
  { clientId, workspaceId }: FoundClient,
  { run, issuedBefore = '', subject }: EndOptions,
): CommandContext => ({
  ...operatorContext(subject, workspaceId),
  commandId: uuidV5(`${run}/${clientId}`, RUN_NAMESPACE),
  commandHash: createHash('sha256').update(`tokens end ${issuedBefore}`).digest('hex'),
  correlationId: run,
  causationId: run,
});

async function* clientsOf({ log, clients }: BookOfRecord, options: EndOptions): AsyncGenerator<FoundClient> {
  const { client: clientId, workspace, all } = options;
  if (clientId !== undefined) {
    const { state } = await clients.read(clientId);
    if (state.status === 'NONE') throw notFound(`There is no client ${clientId}`);
    yield { clientId, workspaceId: state.workspaceId };
    return;
  }
  for await (const recorded of eventsToNow(log)) {
    // Other events are not converted. So an event of a type that this program does not know stops nothing.
    if (recorded.type !== 'ConsumerClientCreated') continue;
    if (recorded.unreadable) {
      // Nothing but its name is known. The command on it fails, so the client is named.
      const unknown = clientIdOf(recorded.stream);
      if (unknown !== undefined) yield { clientId: unknown, workspaceId: workspace ?? '' };
      continue;
    }
    const { type, data } = upcast(recorded);
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

/** Only the ids of real runs (UUIDs) are accepted. A name that is used for two incidents would end nothing in the second. */
function runIn(value: string): string {
  if (!UUID.test(value)) throw new InvalidArgumentError('A run prints its id when it begins.');
  return value;
}
