import { setTimeout as delay } from 'node:timers/promises';
import { type Command, createCommand, InvalidArgumentError } from 'commander';
import type { Instant } from '#domain';
import {
  type BookOfRecord,
  endManagementToken,
  LOOKS_HOLD_AFTER_MS,
  type OperatorsToken,
  readOperatorsTokens,
} from '#event-log';
import { systemClock } from '#platform/without-http';
import { type ActOptions, operatorContext, withBook } from './environment.js';
import { notFound } from './exit.js';
import { printResult, tableLines } from './output.js';
import { UUID } from './uuid.js';

/** `tokens list`: the management tokens that `token` has made. */
export const listTokensCommand = (): Command =>
  createCommand('list')
    .description('the management tokens that `token` has made, and that have not expired')
    .option('--all', 'also those that have expired')
    .action(({ all = false }: { readonly all?: boolean }) => withBook((book) => list(book, all)));

const COLUMNS = ['TOKEN', 'STATUS', 'SUBJECT', 'WORKSPACE', 'SCOPES', 'EXPIRES', 'MADE BY', 'REASON'];

async function list({ log }: BookOfRecord, all: boolean): Promise<void> {
  const now = systemClock().toISOString();
  const tokens = (await readOperatorsTokens(log))
    .map((token) => ({ ...token, status: statusOf(token, now) }))
    .filter(({ expiresAt }) => all || now < expiresAt);
  const rows = tokens.map((token) => {
    const { tokenId, status, tokenSubject, workspaceId = 'any', scopes, expiresAt, issuedBy, reason = '' } = token;
    return [tokenId, status, tokenSubject, workspaceId, scopes.join(' '), expiresAt, issuedBy, reason];
  });
  printResult(tokens, tableLines(COLUMNS, rows, 'No management token of `token` is good'));
}

const statusOf = ({ endedAt, expiresAt }: OperatorsToken, now: Instant): 'GOOD' | 'ENDED' | 'EXPIRED' =>
  endedAt !== undefined ? 'ENDED' : now < expiresAt ? 'GOOD' : 'EXPIRED';

/** Parses an argument that is the id of a management token. */
export function tokenIdIn(value: string): string {
  if (!UUID.test(value)) throw new InvalidArgumentError('`tokens list` shows the ids of management tokens.');
  return value;
}

/** Ends a management token. When this resolves, every process refuses the token. */
export const endOneManagementToken = (tokenId: string, { reason, subject }: ActOptions): Promise<void> =>
  withBook(async ({ log, eventVersions }) => {
    const context = operatorContext(subject);
    const isNew = await endManagementToken(log, tokenId, { reason, context, now: systemClock });
    if (isNew === undefined) throw notFound(`No operator has made a token ${tokenId}`);
    if (eventVersions === 'previous') {
      console.error('Processes of the former release accept the token until it expires: end them, too');
    }
    await delay(LOOKS_HOLD_AFTER_MS);
    printResult({ tokenId, isNew }, [`${tokenId} is ended${isNew ? '' : ' already'}`]);
  });
