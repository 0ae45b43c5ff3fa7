export { type Clock, CLOCK, instantsOf, systemClock } from './clock.js';
export {
  CONFIGURATION,
  type Configuration,
  ConfigurationError,
  configurationFrom,
  type Environment,
  type GatewayConfiguration,
  type LogLevel,
  type ManagementIssuer,
} from './configuration.js';
export { type FastAnswer, FastPath, FastRequest, type FastRoute } from './fast-path.js';
export { givenMasterKeys } from './given-master-keys.js';
export { type ReadinessCheck, ReadinessChecks, type ReadinessReport } from './health.js';
export { createHttpApplication, HttpApplication } from './http-app.js';
export { jsonObjectIn, MAX_BODY_BYTES } from './json-body.js';
export { createLogger, type Logger, LOGGER } from './logging.js';
export { Registry } from './metrics.js';
export {
  type FieldError,
  fieldPath,
  Problem,
  type ProblemDetails,
  type ProblemOptions,
  validationFailed,
} from './problem.js';
export { problemOf } from './problem-filter.js';
export { networkOf } from './network.js';
export type { ProcessDependency } from './process-dependency.js';
export { RateLimit, rateLimited, rateLimitHeaders, type RateLimitOptions, type RateLimitState } from './rate-limit.js';
export { type ProcessParts, runProcess } from './run-process.js';
export {
  adminTokenPath,
  gatewaySecretPath,
  masterKeyPath,
  prepareDataDir,
  readableByOthers,
  standaloneGatewaySecret,
  standaloneMasterKey,
} from './standalone-files.js';
export { MayBeAbsent } from './validation.js';
