// The part of the platform that loads neither Nest nor Fastify. A thread that uses this part is 40 MB smaller. A command
// of the command line starts in less than half the time.
export { type Clock, systemClock } from './clock.js';
export {
  type Configuration,
  ConfigurationError,
  configurationFrom,
  masterKeyIn,
  type StoreConfiguration,
  unreadableFile,
  unusableFile,
} from './configuration.js';
export { prepareDataDir, prepareDirectory } from './data-dir.js';
export { listOf } from './list-of.js';
export { createLogger, type Logger, logWarnings } from './logging.js';
export type { Registry } from './metrics.js';
export type { ProcessDependency } from './process-dependency.js';
export { observerOfStores, type OutageNotes, storeOf, StoreOutages } from './store-outages.js';
export { Degraded, Down, NoAnswer, Starting } from './unready.js';
