// The part of the platform that loads neither Nest nor Fastify. A thread that uses this part is 40 MB smaller.
export { type Clock, systemClock } from './clock.js';
export { type Configuration, ConfigurationError, type StoreConfiguration, unreadableFile } from './configuration.js';
export { prepareDataDir } from './data-dir.js';
export { Degraded } from './health.js';
export { listOf } from './list-of.js';
export { createLogger, type Logger, logWarnings } from './logging.js';
export type { Registry } from './metrics.js';
export type { ProcessDependency } from './process-dependency.js';
