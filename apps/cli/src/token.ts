import { Command, InvalidArgumentError, Option } from 'commander';
import { configurationFrom } from '#platform/without-http';
import { BootstrapIssuer, isManagementScope, MANAGEMENT_SCOPES, type ManagementScope } from '#tokens';
import { masterKeysOf, subjectOption } from './environment.js';
import { usageError } from './exit.js';
import { printResult } from './output.js';

interface TokenOptions {
  readonly workspace?: string;
  readonly scope: readonly ManagementScope[];
  readonly subject: string;
  readonly ttl: number;
}

/**
 * `token`: prints a management token of the built-in issuer, for development and tests. The token has scopes and
 * expires.
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
    .addOption(subjectOption())
    .addOption(new Option('--ttl <seconds>', 'how long it is good').argParser(Number).default(3600))
    .action(({ workspace, scope, subject, ttl }: TokenOptions) => {
      const configuration = configurationFrom(process.env);
      if (configuration.managementIssuer)
        throw new Error('MANAGEMENT_ISSUER is set: its tokens are the only good ones');
      const issuer = new BootstrapIssuer(masterKeysOf(configuration));
      const request = {
        subject,
        scopes: scope,
        ttlSeconds: ttl,
        ...(workspace !== undefined && { workspaceId: workspace }),
      };
      const token = issued(() => issuer.issueManagementToken(request, new Date()));
      printResult({ token }, [token]);
    });

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
