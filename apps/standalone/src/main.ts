import 'reflect-metadata';
import { type Configuration, configurationFrom, createHttpApplication, createLogger, systemClock } from '#platform';
import { adminTokenPath } from '#platform';
import { serveOpenApi } from '../../management/src/openapi.js';
import { StandaloneModule } from './standalone.module.js';
import { openStores } from './stores.js';

async function main(): Promise<void> {
  const configuration = configurationFrom(process.env);
  const logger = createLogger(configuration.logLevel);
  const stores = await openStores(configuration, logger, systemClock);
  const module = StandaloneModule.with(stores, configuration, systemClock);
  const application = await createHttpApplication(module, configuration, logger);
  serveOpenApi(application.nest);
  application.closeOnSignals();
  welcome(await application.listen(), configuration);
}

/** To stderr: stdout is the log. */
function welcome(url: string, { dataDir, managementIssuer }: Configuration): void {
  const token = managementIssuer ? `from ${managementIssuer.issuer}` : `in ${adminTokenPath(dataDir)}`;
  console.error(`Consumer Clients is ready
  API      ${url}/v1
  docs     ${url}/docs
  login    ${url}/login
  data     ${dataDir}
  token    ${token}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : 'The start failed');
  process.exitCode = 1;
});
