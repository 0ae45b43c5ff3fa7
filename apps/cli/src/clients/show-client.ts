import { createCommand } from 'commander';
import { type ClientId, type ConsumerClientState, goodCredentials, type Instant, newestCredential } from '#domain';
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
  const { labels, credentials, subscriptions, ...fields } = shown;
  printResult(shown, [
    ...alignedLines(Object.entries(fields)),
    ...Object.entries(labels).map(([key, value]) => `label ${key}  ${value}`),
    ...credentials.map(({ generation, createdAt, hint, expiresAt }) =>
      [
        ...[`credential ${generation}`, `since ${createdAt}`],
        ...(expiresAt === undefined ? [] : [`until ${expiresAt}`]),
        ...(hint === undefined ? [] : [`begins with ccs_${hint}`]),
      ].join('  '),
    ),
    ...subscriptions.map(({ subscriptionId, endpointUri, serviceName }) =>
      [`subscription ${subscriptionId}`, endpointUri, serviceName].join('  '),
    ),
  ]);
}

function shownOf(client: ExistingClient, at: Instant) {
  const { clientId, workspaceId, name, description, externalId, labels = {} } = client;
  const { authenticationType, status, createdAt } = client;
  const identity = {
    ...{ clientId, workspaceId, name },
    ...(description !== undefined && { description }),
    ...(externalId !== undefined && { externalId }),
    ...{ labels, authenticationType, status, createdAt },
  };
  if (client.status === 'REVOKED') {
    const { revokedAt, reason } = client;
    return { ...identity, revokedAt, revocationReason: reason, credentials: [], subscriptions: [] };
  }
  const newest = newestCredential(client);
  const overlapping = goodCredentials(client, at).filter(({ generation }) => generation !== newest.generation);
  return {
    ...identity,
    // The newest credential is shown also after its expiry.
    credentials: [...overlapping, newest].map(({ verifier: _, ...credential }) => credential),
    subscriptions: [...client.subscriptions.values()],
  };
}
