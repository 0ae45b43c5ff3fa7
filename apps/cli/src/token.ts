import { randomUUID } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type EventLog, recordManagementToken } from '#event-log';
import { configurationFrom, systemClock } from '#platform/without-http';
import {
  BootstrapIssuer,
  instantOf,
  isManagementScope,
  MANAGEMENT_SCOPES,
  type ManagementScope,
  managementTokenTimes,
} from '#tokens';
import {
  masterKeysOf,
  operatorContext,
  operatorOption,
  reasonOption,
  requireOwnMasterKeys,
  withBook,
} from './environment.js';
import { usageError } from './exit.js';
import { printResult } from './output.js';

interface TokenOptions {
  readonly workspace?: string;
  readonly scope: readonly ManagementScope[];
  readonly subject: string;
  readonly ttl: number;
  readonly reason?: string;
  /** Who makes the token. */
  readonly operator: string;
}

/**
 * `token`: prints a management token of the built-in issuer, for development and tests. The token has scopes, expires,
 * and is recorded in the event log before it is printed.
 */
export const tokenCommand = (): Command =>
  new Command('token')
    .description('print a management token of the built-in issuer (good only while no MANAGEMENT_ISSUER is set)')
    .addOption(new Option('--workspace <id>', 'the workspace that it is bound to'))
    .addOption(
      new Option('--scope <scopes>', `space-separated: ${MANAGEMENT_SCOPES.join(' ')}`)
        .argParser(scopesIn)
        .makeOptionMandatory(),
    )
    .addOption(new Option('--subject <name>', 'the holder of the token, as the history names it').default('cli'))
    .addOption(new Option('--ttl <seconds>', 'how long it is good').argParser(Number).default(3600))
    .addOption(reasonOption())
    .addOption(operatorOption('--operator <name>', 'who makes the token'))
    .action(async (options: TokenOptions) => {
      const configuration = configurationFrom(process.env);
      if (configuration.managementIssuer)
        throw new Error('MANAGEMENT_ISSUER is set: its tokens are the only good ones');
      const { token, tokenId, expiresAt } = await withBook(async ({ log }) => {
        await requireOwnMasterKeys(log, configuration);
        return recordedToken(log, new BootstrapIssuer(masterKeysOf(configuration)), options);
      });
      console.error(`Token ${tokenId} is good until ${expiresAt}. To end it: consumer-clients tokens end ${tokenId}`);
      printResult({ token, tokenId, expiresAt }, [token]);
    });

async function recordedToken(
  log: EventLog,
  issuer: BootstrapIssuer,
  { workspace: workspaceId, scope: scopes, subject, ttl: ttlSeconds, reason, operator }: TokenOptions,
) {
  const tokenId = randomUUID();
  const request = { tokenId, subject, scopes, ttlSeconds, ...(workspaceId !== undefined && { workspaceId }) };
  const now = systemClock();
  const token = issued(() => issuer.issueManagementToken(request, now));
  const { iat, exp } = managementTokenTimes(request, now);
  const [issuedAt, expiresAt] = [instantOf(iat), instantOf(exp)];
  const recorded = { tokenId, tokenSubject: subject, scopes, issuedAt, expiresAt };
  await recordManagementToken(
    log,
    { ...recorded, ...(workspaceId !== undefined && { workspaceId }) },
    { reason, context: operatorContext(operator), now: systemClock },
  );
  return { token, tokenId, expiresAt };
}

/** Makes an error of usage of the `RangeError` that names an invalid value. */
function issued(issue: () => string): string {
  try {
    return issue();
  } catch (error) {
    if (error instanceof RangeError) throw usageError(error.message);
    throw error;
  }
}

function scopesIn(value: string): ManagementScope[] {
  const scopes = value.split(' ').filter((scope) => scope !== '');
  if (!scopes.every(isManagementScope)) throw new InvalidArgumentError('No such scope.');
  return scopes;
}
