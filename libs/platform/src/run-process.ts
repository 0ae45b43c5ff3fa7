import { setTimeout as delay } from 'node:timers/promises';
import type { DynamicModule } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Configuration, configurationFrom } from './configuration.js';
import { createHttpApplication } from './http-app.js';
import { type Logger, createLogger } from './logging.js';
import type { ProcessDependency } from './process-dependency.js';

/** What makes one process. */
export interface ProcessParts {
  readonly module: DynamicModule;
  readonly dependencies: readonly ProcessDependency[];
  /** Before the modules start. */
  readonly extend?: (nest: NestFastifyApplication) => void;
  /** It is live; its stores may still be waited for. */
  readonly onListening?: (url: string) => void;
  /** Its stores are open. */
  readonly onOpen?: (url: string) => void;
}

/** How long a start that failed waits for the stores that it has begun to open, in milliseconds. */
const CLOSE_PATIENCE_MS = 2_000;

type Compose = (configuration: Configuration, logger: Logger) => ProcessParts | Promise<ProcessParts>;

/**
 * Runs the process until a signal ends it: it listens at once, and waits for what comes late. What no waiting helps
 * against (a wrong variable, a taken port, a master key of another log) is printed in one line and ends it with 1.
 */
export function runProcess(compose: Compose): void {
  const dependencies: ProcessDependency[] = [];
  start(compose, dependencies).catch(async (error: unknown) => {
    console.error(error instanceof Error ? `${error.name}: ${error.message}` : 'The start failed');
    // The threads of a store that is being opened must not be torn down under it.
    await Promise.race([Promise.allSettled(dependencies.map((each) => each.close())), delay(CLOSE_PATIENCE_MS)]);
    process.exit(1);
  });
}

async function start(compose: Compose, begun: ProcessDependency[]): Promise<void> {
  // Whatever it makes is its owner's: event logs hold verifiers and wrapped keys.
  process.umask(0o077);
  const configuration = configurationFrom(process.env);
  const logger = createLogger(configuration.logLevel);
  const { module, dependencies, extend, onListening, onOpen } = await compose(configuration, logger);
  begun.push(...dependencies);
  const application = await createHttpApplication(module, configuration, logger, dependencies);
  extend?.(application.nest);
  application.closeOnSignals();
  const url = await application.listen();
  onListening?.(url);
  await application.opened();
  onOpen?.(url);
}
