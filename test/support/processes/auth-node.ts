import { type EventLog, LogUnavailable, openBookOfRecord } from '#event-log';
import { configurationFrom, createHttpApplication, createLogger, StoreOutages, systemClock } from '#platform';
import { givenMasterKeys, type KeyedBook, PendingStore } from '#stores';
import { ManagementTokenVerifier, SigningKeyRing } from '#tokens';
import { AuthModule } from '../../../apps/auth/src/auth.module.js';
import { authDependencies } from '../../../apps/auth/src/dependencies.js';
import type { RunningNode } from '../load/marketplace.js';
import type { Environment } from './program.js';

/**
 * Starts an auth node inside this process. The node is the real application, but uses the given event log. Resolves
 * when the node is ready.
 */
export async function startAuthNode(env: Environment, openLog: () => Promise<EventLog>): Promise<RunningNode> {
  const configuration = configurationFrom({ ...env, PORT: '0' });
  const { gateway, managementIssuer, logLevel, tokenAlg } = configuration;
  if (gateway.secret === undefined || !managementIssuer) throw new Error('An auth node needs its secrets');
  const clock = systemClock;
  const logger = createLogger(logLevel);
  const outages = new StoreOutages(logger);
  const masterKeys = givenMasterKeys(configuration);
  const log = new PendingStore<KeyedBook>({
    name: 'event log',
    open: async () => {
      const book = await openBookOfRecord(await openLog(), clock, configuration.eventVersions);
      const ring = new SigningKeyRing(book.signingKeys, masterKeys, { alg: tokenAlg, now: clock });
      await ring.start();
      return { book, ring };
    },
    check: () => Promise.resolve(),
    close: ({ book }) => book.log.close(),
    unavailable: () => new LogUnavailable('The event log has not been reached yet'),
    outages,
  });
  const managementTokens = new ManagementTokenVerifier(managementIssuer, { now: clock });
  const parts = { log, masterKeys, clock, configuration, managementTokens, gatewaySecret: gateway.secret };
  const module = AuthModule.with(authDependencies(parts));
  const application = await createHttpApplication(module, configuration, logger, [log], outages);
  const url = await application.listen();
  await application.opened();
  const stop = async () => {
    await application.close();
    return 0;
  };
  return { url, stop };
}
