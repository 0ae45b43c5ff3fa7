import { createCommand } from 'commander';
import { findCommand } from './find-clients.js';
import { revokeCommand } from './revoke-client.js';
import { showCommand } from './show-client.js';

/** `clients find | show | revoke`: for emergencies, when the management API or its callers can't be used. */
export const clientsCommand = () =>
  createCommand('clients')
    .description('consumer clients, for emergencies')
    .addCommand(findCommand())
    .addCommand(showCommand())
    .addCommand(revokeCommand());
