export { BeforeFastify, type EarlyHandler, type UnreadableHandler } from './before-fastify.js';
export { type Clock, instantsOf, systemClock } from './clock.js';
export {
  CONFIGURATION,
  type Configuration,
  ConfigurationError,
  configurationFrom,
  type Environment,
  gatewaySecretIn,
  masterKeyIn,
  type StoreConfiguration,
  storeConfigurationOf,
  unusableFile,
} from './configuration.js';
export { prepareDataDir } from './data-dir.js';
export { ReadinessChecks } from './health.js';
export { createHttpApplication, HttpApplication } from './http-app.js';
export { jsonObjectIn } from './json-body.js';
export { createLogger, LOGGER, type Logger, logWarnings, writeLine } from './logging.js';
export { addQueueMetrics, addReadings, type Reading, Registry } from './metrics.js';
export { networkOf, trustIn, type TrustsProxy, withoutPort } from './network.js';
export { undecodableParameter } from './parameters.js';
export { methodNotAllowed, Problem, unknownField, validationFailed } from './problem.js';
export { callerGone, httpRefusal, ProblemFilter } from './problem-filter.js';
export type { ProcessDependency } from './process-dependency.js';
export { RATE_LIMITED, RateLimit, rateLimited, rateLimitHeaders, type RateLimitState } from './rate-limit.js';
export { addressIfRefused, loggedPath, loggedText, type RequestFacts } from './request-facts.js';
export { requirePlainUtf8 } from './request-form.js';
export { requestIdOf } from './request-id.js';
export { runProcess } from './run-process.js';
export { observerOfStores, type OutageNotes, storeOf, StoreOutages } from './store-outages.js';
export { Degraded, Down, NoAnswer, Starting } from './unready.js';
export { MayBeAbsent } from './validation.js';
