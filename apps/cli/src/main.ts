#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { adminTokenCommand } from './admin-token.js';
import { backupCommand } from './backup/backup-command.js';
import { restoreCommand } from './backup/restore-command.js';
import { clientsCommand } from './clients/clients-command.js';
import { completionCommand } from './completion.js';
import { requireDataDir } from './environment.js';
import { evidenceCommand } from './evidence/evidence-command.js';
import { examplesOf } from './examples.js';
import { exitCodeOf, exitCodesHelp } from './exit.js';
import { exportCommand } from './export/export-command.js';
import { keysCommand } from './keys.js';
import { logCommand } from './log.js';
import { masterKeyCommand } from './master-key.js';
import { printAsJson } from './output.js';
import { projectionsCommand } from './projections.js';
import { accessReviewCommand } from './replay/access-review-command.js';
import { diffCommand } from './replay/diff-command.js';
import { historyCommand } from './replay/history-command.js';
import { chooseStores, type SourceOptions } from './replay/sources.js';
import { stateCommand } from './replay/state-command.js';
import { tokenCommand } from './token.js';
import { tokensCommand } from './tokens.js';
import { throwVerifyUsage, verifyCommand } from './verify/verify-command.js';

// Only the owner may read the files that a command creates, because event logs hold verifiers (Argon2id hashes of
// secrets) and encrypted private keys.
process.umask(0o077);
// An operator has no use for what Node calls deprecated in the drivers, such as TLS to an IP address in EventStoreDB's.
process.noDeprecation = true;

/** The version in package.json, which lies beside `dist`. */
const version = (): string => {
  const file = join(__dirname, '../../../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
};

const NEED_NO_DATA_DIR: ReadonlySet<string> = new Set(['completion', 'verify']);

const program = new Command('consumer-clients')
  .description('Operators’ and auditors’ command line of Consumer Clients')
  .version(process.argv.includes('--json') ? JSON.stringify({ version: version() }) : version())
  .option('--json', 'print the result as one JSON document')
  .addHelpText('after', exitCodesHelp())
  .hook('preAction', (root, command) => {
    printAsJson(root.opts<{ json?: true }>().json === true);
    const source = command.opts<SourceOptions>();
    chooseStores(source, process.env);
    if (source.url === undefined && !NEED_NO_DATA_DIR.has(command.name())) requireDataDir(process.env);
  })
  .addCommand(tokenCommand())
  .addCommand(adminTokenCommand())
  .addCommand(clientsCommand())
  .addCommand(keysCommand())
  .addCommand(masterKeyCommand())
  .addCommand(tokensCommand())
  .addCommand(logCommand())
  .addCommand(projectionsCommand())
  .addCommand(backupCommand())
  .addCommand(restoreCommand())
  .addCommand(historyCommand())
  .addCommand(stateCommand())
  .addCommand(diffCommand())
  .addCommand(accessReviewCommand())
  .addCommand(exportCommand())
  .addCommand(evidenceCommand())
  .addCommand(verifyCommand())
  .addCommand(completionCommand());

/**
 * Makes the command and its subcommands throw instead of ending the process. Their help shows the global options and
 * examples. `path` holds the names of the command's parents and its own.
 */
function prepare(command: Command, path: readonly string[]): void {
  const exitOverride = command.name() === 'verify' ? throwVerifyUsage : undefined;
  command.exitOverride(exitOverride).configureHelp({ showGlobalOptions: true });
  command.addHelpText('after', examplesOf(path.join(' ')));
  for (const subcommand of command.commands) prepare(subcommand, [...path, subcommand.name()]);
}
prepare(program, []);

program.parseAsync().catch((error: unknown) => {
  // Commander has printed its own errors already.
  if (!(error instanceof CommanderError)) console.error(error instanceof Error ? error.message : 'Failed');
  process.exitCode = exitCodeOf(error);
});
