#!/usr/bin/env node
import { Command } from 'commander';
import { adminTokenCommand } from './admin-token.js';
import { tokenCommand } from './token.js';

const program = new Command('consumer-clients')
  .description('Operators’ and auditors’ command line of Consumer Clients')
  .addCommand(tokenCommand())
  .addCommand(adminTokenCommand());

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : 'Failed');
  process.exitCode = 1;
});
