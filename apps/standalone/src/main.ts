import './small-start.js';
import 'reflect-metadata';
import { type Configuration, runProcess, systemClock } from '#platform';
import { serveOpenApi } from '#platform/openapi';
import { pendingKeyedBook, pendingReadStore } from '#stores';
import { adminTokenPath } from '#tokens';
import { authDependencies } from '../../auth/src/dependencies.js';
import { managementDependencies } from '../../management/src/dependencies.js';
import { projectorDependencies } from '../../projector/src/dependencies.js';
import { ownGatewaySecret, ownManagementTokens, ownMasterKeys } from './own-secrets.js';
import { ProjectorThread } from './projector-thread.js';
import { growAtWork } from './small-start.js';
import { StandaloneModule } from './standalone.module.js';

runProcess(async (configuration, logger, outages) => {
  const clock = systemClock;
  const masterKeys = ownMasterKeys(configuration, logger);
  const endedTokens = { has: (id: string) => log.current.book.endedManagementTokens.has(id) };
  const tokens = await ownManagementTokens(configuration, masterKeys, endedTokens, clock);
  const context = { configuration, logger, outages, clock };
  const changeCounter = new SharedArrayBuffer(4);
  const log = pendingKeyedBook(context, masterKeys, {
    changeCounter,
    ofSecondary: () => projections.findings(),
  });
  const readStore = pendingReadStore(context, 'write');
  const storesOpened = Promise.all([log.opened, readStore.opened]);
  const projections = new ProjectorThread({ configuration, logger, outages, storesOpened, changeCounter });
  return {
    module: StandaloneModule.with({
      management: managementDependencies({ log, readStore, masterKeys, tokens, clock, configuration }),
      auth: authDependencies({
        ...{ log, masterKeys, clock, configuration },
        managementTokens: tokens,
        gatewaySecret: ownGatewaySecret(configuration),
      }),
      projector: projectorDependencies({ projections, log, readStore }),
    }),
    dependencies: [log, readStore, projections],
    extend: serveOpenApi,
    onListening: growAtWork,
    onOpen: (url) => {
      welcome(url, configuration);
    },
  };
});

/** Prints to stderr, because stdout carries the log lines. */
function welcome(url: string, { dataDir, managementIssuer }: Configuration): void {
  const token = managementIssuer ? `from ${managementIssuer.issuer}` : `in ${adminTokenPath(dataDir)}`;
  console.error(`Consumer Clients is ready
  API      ${url}/v1
  docs     ${url}/docs
  login    curl ${url}/login -u CLIENT_ID:SECRET -d grant_type=client_credentials
  data     ${dataDir}
  token    ${token}`);
}
