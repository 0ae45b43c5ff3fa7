import 'reflect-metadata';
import { ConfigurationError, runProcess, systemClock } from '#platform';
import { serveOpenApi } from '#platform/openapi';
import { givenMasterKeys, pendingKeyedBook, warnOfFiles } from '#stores';
import { ManagementTokenVerifier } from '#tokens';
import { AuthModule } from './auth.module.js';
import { authDependencies } from './dependencies.js';

runProcess((configuration, logger, outages) => {
  const { gateway, managementIssuer } = configuration;
  const masterKeys = givenMasterKeys(configuration);
  if (gateway.secret === undefined) {
    throw new ConfigurationError('GATEWAY_SECRET_FILE', 'must be set: only the standalone makes its own');
  }
  const clock = systemClock;
  const log = pendingKeyedBook({ configuration, logger, outages, clock }, masterKeys);
  const managementTokens = managementIssuer && new ManagementTokenVerifier(managementIssuer, { now: clock });
  const parts = { log, masterKeys, clock, configuration, managementTokens, gatewaySecret: gateway.secret };
  return {
    module: AuthModule.with(authDependencies(parts)),
    dependencies: [log],
    extend: serveOpenApi,
    onListening: (url) => {
      warnOfFiles(configuration, logger, ['event log']);
      console.error(`Consumer Clients, auth: ${url}`);
    },
  };
});
