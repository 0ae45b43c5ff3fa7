import 'reflect-metadata';
import { ConfigurationError, runProcess, systemClock } from '#platform';
import { serveOpenApi } from '#platform/openapi';
import { givenMasterKeys, pendingKeyedBook, pendingReadStore, warnOfFiles } from '#stores';
import { ManagementTokenVerifier } from '#tokens';
import { managementDependencies } from './dependencies.js';
import { ManagementModule } from './management.module.js';

runProcess((configuration, logger, outages) => {
  const { managementIssuer } = configuration;
  if (managementIssuer === undefined) {
    throw new ConfigurationError('MANAGEMENT_ISSUER', 'must be set: without it only the standalone starts');
  }
  const masterKeys = givenMasterKeys(configuration);
  const clock = systemClock;
  const context = { configuration, logger, outages, clock };
  const log = pendingKeyedBook(context, masterKeys);
  const readStore = pendingReadStore(context, 'read');
  const tokens = new ManagementTokenVerifier(managementIssuer, { now: clock });
  return {
    module: ManagementModule.with(managementDependencies({ log, readStore, masterKeys, tokens, clock, configuration })),
    dependencies: [log, readStore],
    extend: serveOpenApi,
    onListening: (url) => {
      warnOfFiles(configuration, logger, ['event log', 'read store']);
      console.error(`Consumer Clients, management: ${url}`);
    },
  };
});
