import { createCommand } from 'commander';
import { type ClientId, type ConsumerClientState, goodCredentials, type Instant } from '#domain';
import type { BookOfRecord } from '#event-log';
import { systemClock } from '#platform/without-http';
import { clientIdIn } from '../client-id.js';
import { withBook } from '../environment.js';
import { notFound } from '../exit.js';
import { alignedLines, printResult } from '../output.js';

/** `clients show`: prints a client as the event log has it, without its secrets' verifiers. */
export const showCommand = () =>
  createCommand('show')
    .description('show a client as the event log has it')
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .action((clientId: ClientId) => withBook((book) => show(book, clientId)));

type ExistingClient = Exclude<ConsumerClientState, { readonly status: 'NONE' }>;

/** Reads a client by a strong read. Throws `CommandFailed` if it does not exist. */
export async function readClient({ clients }: BookOfRecord, clientId: ClientId): Promise<ExistingClient> {
  const { state } = await clients.read(clientId);
  if (state.status === 'NONE') throw notFound(`There is no client ${clientId}`);
  return state;
}

async function show(book: BookOfRecord, clientId: ClientId): Promise<void> {
  printClient(await readClient(book, clientId), systemClock().toISOString());
}

/** Prints a client as it is at `at`. */
export function printClient(client: ExistingClient, at: Instant): void {
  const shown = shownOf(client, at);
  const { credentials, subscriptions, ...fields } = shown;
  printResult(shown, [
    ...alignedLines(Object.entries(fields)),
    ...credentials.map(({ generation, createdAt, expiresAt }) => {
      const until = expiresAt === undefined ? '' : `  until ${expiresAt}`;
      return `credential ${generation}  since ${createdAt}${until}`;
    }),
    ...subscriptions.map(({ subscriptionId, endpointUri, serviceName }) =>
      [`subscription ${subscriptionId}`, endpointUri, serviceName].join('  '),
    ),
  ]);
}

function shownOf(client: ExistingClient, at: Instant) {
  const { clientId, workspaceId, name, authenticationType, status, createdAt } = client;
  const identity = { clientId, workspaceId, name, authenticationType, status, createdAt };
  if (client.status === 'REVOKED') {
    const { revokedAt, reason } = client;
    return { ...identity, revokedAt, revocationReason: reason, credentials: [], subscriptions: [] };
  }
  return {
    ...identity,
    credentials: goodCredentials(client, at).map(({ generation, createdAt: since, expiresAt }) => ({
      ...{ generation, createdAt: since },
      ...(expiresAt !== undefined && { expiresAt }),
    })),
    subscriptions: [...client.subscriptions.values()],
  };
}
