import { createCommand } from 'commander';
import type { ClientId, WorkspaceId } from '#domain';
import type { BookOfRecord } from '#event-log';
import { systemClock } from '#platform/without-http';
import { type ClientAsOf, clientAsOf, type LoginAnswer } from '#replay';
import { clientIdIn } from '../client-id.js';
import { readClient } from '../clients/show-client.js';
import { withBook } from '../environment.js';
import { alignedLines, printResult } from '../output.js';
import { basisOf, type BasisOptions, basisOptions } from './basis-options.js';
import { serviceOf, type SourceOptions, withSourceOptions, workspaceOption } from './sources.js';

interface StateOptions extends BasisOptions, SourceOptions {
  readonly workspace?: WorkspaceId;
}

/** `state`: shows a client as it was, by the event log alone, or by a service. */
export function stateCommand() {
  const command = withSourceOptions(createCommand('state'))
    .description('show a client as it was, and whether it would have logged in, by the event log alone')
    .argument('<client>', 'its id (cc_…)', clientIdIn)
    .addOption(workspaceOption())
    .action(async (clientId: ClientId, options: StateOptions) => {
      const service = serviceOf(options, options.workspace);
      const state = service
        ? await service.json<ClientAsOf>(`/v1/clients/${clientId}/state`, queryOf(options))
        : await withBook((book) => stateIn(book, clientId, options));
      printResult(state, linesOf(state));
    });
  for (const option of basisOptions()) command.addOption(option);
  return command;
}

const queryOf = ({ at, revision, position }: BasisOptions) => ({ at, revision: revision?.toString(), position });

async function stateIn(book: BookOfRecord, clientId: ClientId, options: StateOptions): Promise<ClientAsOf> {
  const { workspaceId } = options.workspace ? { workspaceId: options.workspace } : await readClient(book, clientId);
  const question = { workspaceId, clientId, basis: basisOf(options), judgedAt: options.at };
  return clientAsOf(book, { ...question, now: systemClock().toISOString() });
}

function linesOf({ basis, client, credentials, subscriptions, wouldLogIn }: ClientAsOf): string[] {
  const { labels, ...identity } = client;
  return [
    `As of ${basis.at}, revision ${basis.revision}, position ${basis.position}`,
    ...alignedLines(Object.entries(identity).map(([field, value]) => [field, String(value)])),
    ...Object.entries(labels).map(([key, value]) => `label ${key}  ${value}`),
    ...credentials.map((credential) =>
      [
        ...[`credential ${credential.generation}`, `since ${credential.createdAt}`],
        ...(credential.expiresAt === undefined ? [] : [`until ${credential.expiresAt}`]),
        answerOf(credential.wouldLogIn),
      ].join('  '),
    ),
    ...subscriptions.map((assignment) =>
      [
        ...[`subscription ${assignment.subscriptionId}`, assignment.endpointUri, assignment.serviceName],
        ...[assignment.status, answerOf(assignment.wouldLogIn)],
      ].join('  '),
    ),
    `at no endpoint: ${answerOf(wouldLogIn)}`,
  ];
}

const answerOf = ({ yes, reason }: LoginAnswer): string =>
  yes === null ? `unknown: ${reason}` : yes ? 'would log in' : `would not log in: ${reason}`;
