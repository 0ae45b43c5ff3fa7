#!/usr/bin/env node
import { Command } from 'commander';
import { adminTokenCommand } from './admin-token.js';
import { exitCodeOf } from './exit.js';
import { keysCommand } from './keys.js';
import { logCommand } from './log.js';
import { masterKeyCommand } from './master-key.js';
import { projectionsCommand } from './projections.js';
import { tokenCommand } from './token.js';
import { tokensCommand } from './tokens.js';

// Only the owner may read the files that a command creates, because event logs hold verifiers (Argon2id hashes of
// secrets) and encrypted private keys.
process.umask(0o077);
// An operator has no use for what Node calls deprecated in the drivers, such as TLS to an IP address in EventStoreDB's.
process.noDeprecation = true;

const program = new Command('consumer-clients')
  .description('Operators’ and auditors’ command line of Consumer Clients')
  .addCommand(tokenCommand())
  .addCommand(adminTokenCommand())
  .addCommand(keysCommand())
  .addCommand(masterKeyCommand())
  .addCommand(tokensCommand())
  .addCommand(logCommand())
  .addCommand(projectionsCommand());

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : 'Failed');
  process.exitCode = exitCodeOf(error);
});
