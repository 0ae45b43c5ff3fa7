import { setTimeout as delay } from 'node:timers/promises';
import type { DynamicModule } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Configuration, configurationFrom } from './configuration.js';
import { createHttpApplication } from './http-app.js';
import { createLogger, type Logger, logWarnings } from './logging.js';
import { closeAll, type ProcessDependency } from './process-dependency.js';
import { StoreOutages } from './store-outages.js';

/** The parts that make up one process. */
export interface ProcessParts {
  readonly module: DynamicModule;
  readonly dependencies: readonly ProcessDependency[];
  /** Called before the modules start. */
  readonly extend?: (nest: NestFastifyApplication) => void;
  /** Called when the process accepts requests. The stores may not be open yet. */
  readonly onListening?: (url: string) => void;
  /** Called when all stores are open. */
  readonly onOpen?: (url: string) => void;
}

/** After a failed start, the process waits at most this many ms for its stores to close. */
const CLOSE_PATIENCE_MS = 2_000;

/** Every part of the process that uses a store tells `outages` when the store fails it. */
type Compose = (
  configuration: Configuration,
  logger: Logger,
  outages: StoreOutages,
) => ProcessParts | Promise<ProcessParts>;

/**
 * Runs the process until a signal ends the process. The process listens at once, and then waits until its stores are
 * available. If waiting would not help (an invalid environment variable, a port in use, the master key of another log),
 * the process prints one line and exits with 1.
 */
export function runProcess(compose: Compose): void {
  const dependencies: ProcessDependency[] = [];
  start(compose, dependencies).catch(async (error: unknown) => {
    console.error(error instanceof Error ? `${error.name}: ${error.message}` : 'The start failed');
    // The process must not exit while a store is being opened, since the store's threads may still be at work.
    await Promise.race([closeAll(dependencies).catch(() => undefined), delay(CLOSE_PATIENCE_MS)]);
    process.exit(1);
  });
}

async function start(compose: Compose, begun: ProcessDependency[]): Promise<void> {
  // Only the owner may read the files that this process creates: event logs contain verifiers (Argon2id hashes of
  // secrets) and wrapped keys.
  process.umask(0o077);
  const configuration = configurationFrom(process.env);
  const logger = createLogger(configuration.logLevel);
  logWarnings(logger);
  const outages = new StoreOutages(logger);
  const { module, dependencies, extend, onListening, onOpen } = await compose(configuration, logger, outages);
  begun.push(...dependencies);
  const application = await createHttpApplication(module, configuration, logger, dependencies, outages);
  extend?.(application.nest);
  application.closeOnSignals();
  const url = await application.listen();
  onListening?.(url);
  await application.opened();
  application.closeWhenBroken();
  onOpen?.(url);
}
