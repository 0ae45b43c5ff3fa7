import { createCommand } from 'commander';
import type { ClientId } from '#domain';
import type { BookOfRecord } from '#event-log';
import { systemClock } from '#platform/without-http';
import { clientIdIn } from '../client-id.js';
import { operatorContext, reasonOption, subjectOption, withBook } from '../environment.js';
import { printResult } from '../output.js';
import { readClient } from './show-client.js';

interface RevokeOptions {
  readonly reason: string;
  readonly subject: string;
}

/** `clients revoke`: revokes a client for ever. From then on, every node refuses it. */
export const revokeCommand = () =>
  createCommand('revoke')
    .description('revoke a client for ever: every node refuses its credentials and tokens at once')
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .addOption(reasonOption('why; kept for ever, and shown by the API').makeOptionMandatory())
    .addOption(subjectOption())
    .action((clientId: ClientId, options: RevokeOptions) => withBook((book) => revoke(book, clientId, options)));

async function revoke(book: BookOfRecord, clientId: ClientId, { reason, subject }: RevokeOptions): Promise<void> {
  const { workspaceId } = await readClient(book, clientId);
  const command = { type: 'RevokeClient', workspaceId, reason, at: systemClock().toISOString() } as const;
  const { outcome } = await book.clients.execute(clientId, command, { context: operatorContext(subject, workspaceId) });
  const isNew = outcome === 'changed';
  printResult({ clientId, isNew }, [`${clientId} is revoked${isNew ? '' : ' already'}`]);
}
