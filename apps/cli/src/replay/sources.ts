import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { WorkspaceId } from '#domain';
import { ConfigurationError } from '#platform/without-http';
import { asError } from '#read-models';
import { usageError } from '../exit.js';
import { AuditedService } from './audited-service.js';

/** Where an auditor's command reads: a service, the files of a stopped service, or the stores of the environment. */
export interface SourceOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly dataDir?: string;
}

/** The variable with the token for `--url`. An argument would be shown to everybody by `ps`. */
const TOKEN_VARIABLE = 'AUDIT_TOKEN';

/** Adds the options that name the source to a command. */
export const withSourceOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--url <address>', `ask this service; its token is in ${TOKEN_VARIABLE}, or in --token-file`)
        .argParser(addressIn)
        .conflicts('dataDir'),
    )
    .addOption(new Option('--token-file <file>', 'the file with a token that has the scope audit:read'))
    .addOption(
      new Option('--data-dir <directory>', 'read the files of a stopped service, whatever the environment says'),
    );

/** Makes the environment name the files of `--data-dir`, and no other stores. */
export function chooseStores({ dataDir }: SourceOptions, env: NodeJS.ProcessEnv): void {
  if (dataDir === undefined) return;
  env.DATA_DIR = dataDir;
  delete env.EVENTSTOREDB_URL;
  delete env.MONGODB_URL;
}

/** Returns the service that `--url` names. Returns `undefined` without `--url`. Throws `ConfigurationError`. */
export function serviceOf({ url, tokenFile }: SourceOptions, workspaceId?: WorkspaceId): AuditedService | undefined {
  if (url !== undefined) return new AuditedService(url, tokenFrom(tokenFile), workspaceId);
  if (tokenFile !== undefined) throw usageError('--token-file needs --url');
  return undefined;
}

/** Returns the workspace of a command that reads stores, where nothing else names it. Throws an error of usage. */
export function requireWorkspace(workspaceId: WorkspaceId | undefined): WorkspaceId {
  if (workspaceId === undefined) throw usageError("Name the workspace, by '--workspace <id>'");
  return workspaceId;
}

export const workspaceOption = () =>
  new Option('--workspace <id>', 'the workspace; with --url, the one of the token by default');

function tokenFrom(file: string | undefined): string {
  const token = file === undefined ? process.env[TOKEN_VARIABLE] : fileText(file);
  if (!token?.trim()) throw new ConfigurationError(TOKEN_VARIABLE, 'must have a token, or --token-file name its file');
  return token.trim();
}

function fileText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw usageError(`--token-file can't be read: ${asError(error).message}`);
  }
}

/** Parses the address of a service. A token is sent without TLS only to this machine. */
function addressIn(value: string): string {
  const address = URL.canParse(value) ? new URL(value) : undefined;
  const isLocal = address !== undefined && ['localhost', '127.0.0.1', '[::1]'].includes(address.hostname);
  if (address?.protocol !== 'https:' && !(isLocal && address.protocol === 'http:')) {
    throw new InvalidArgumentError('It must be an https:// address, or an http:// address of this machine.');
  }
  if (address.username !== '' || address.password !== '' || address.search !== '' || address.hash !== '') {
    throw new InvalidArgumentError('It must be an address without an account, a query and a fragment.');
  }
  return address.href.replace(/\/$/, '');
}
