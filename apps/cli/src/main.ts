#!/usr/bin/env node
import { Command } from 'commander';
import { adminTokenCommand } from './admin-token.js';
import { exitCodeOf } from './exit-codes.js';
import { keysCommand } from './keys.js';
import { masterKeyCommand } from './master-key.js';
import { logCommand } from './log-copy/log-copy.js';
import { projectionsCommand } from './projections.js';
import { tokenCommand } from './token.js';
import { tokensCommand } from './tokens.js';

// Whatever it makes is its owner's: event logs hold verifiers and wrapped keys.
process.umask(0o077);

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
