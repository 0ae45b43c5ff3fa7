import type { LoggerService } from '@nestjs/common';
import {
  destination,
  type DestinationStream,
  type Logger,
  pino,
  stdSerializers,
  stdTimeFunctions,
  symbols,
} from 'pino';
import type { LogLevel } from './configuration.js';

export type { Logger } from 'pino';

/** The Nest injection token of the process's only pino `Logger`. */
export const LOGGER = Symbol('Logger');

/** Names of fields whose values are never logged, at any depth of the logged objects. */
const SECRET_FIELDS = new Set([
  'authorization',
  'apiKey',
  'clientSecret',
  'secret',
  'credential',
  'draft',
  'verifier',
  'wrappedKey',
  'masterKey',
  'adminToken',
  'token',
  'access_token',
  'refresh_token',
  'client_secret',
]);
const MAX_DEPTH = 5;

/**
 * Creates a logger that writes lines of JSON to `stream`. The default is stdout, written in the background and flushed
 * when the process ends.
 */
export const createLogger = (level: LogLevel, stream: DestinationStream = destination({ sync: false })): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      // We don't use pino's `redact`: its wildcards would cost more than all other work on a request.
      formatters: { level: (label) => ({ level: label }), log: (fields) => withoutSecrets(fields, 1) },
      // `log` above has already turned errors into plain objects.
      serializers: { err: (error: unknown) => error },
    },
    stream,
  );

/** Writes a line that a logger of another thread has made to the stream of this logger. */
export const writeLine = (logger: Logger, line: string): void => {
  const { [symbols.streamSym]: stream } = logger as unknown as { readonly [symbols.streamSym]: DestinationStream };
  stream.write(line);
};

/**
 * Writes this thread's warnings of Node to the log. By itself, Node prints them to stderr as plain text, between the
 * process's own lines. What Node calls deprecated is of no use to an operator, so it gets the level `debug`.
 */
export function logWarnings(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (err) => {
    logger[err.name === 'DeprecationWarning' ? 'debug' : 'warn']({ err }, 'a warning of Node');
  });
}

const withoutSecrets = (fields: object, depth: number): Record<string, unknown> => {
  const safe: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    safe[name] = SECRET_FIELDS.has(name) ? '[redacted]' : safeValue(value, depth);
  }
  return safe;
};

function safeValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === MAX_DEPTH) return '[too deep]';
  if (Buffer.isBuffer(value)) return '[bytes]';
  if (value instanceof Error) return withoutSecrets(plainError(value), depth + 1);
  if (Array.isArray(value)) return value.map((item) => safeValue(item, depth + 1));
  return value instanceof Date || value instanceof URL ? value : withoutSecrets(value, depth + 1);
}

/**
 * An outage is logged without its stack, which only shows where we noticed it. Its message has all causes. The type is the
 * error's name: an error that comes from another thread has lost its class, but not its name.
 */
function plainError(error: Error): object {
  const isOutage = 'kind' in error && error.kind === 'unavailable';
  const named = error.name !== 'Error' && { type: error.name };
  return { ...stdSerializers.err(error), ...named, ...(isOutage && { stack: undefined }) };
}

/** Writes Nest's own messages to the same log. Nest's messages about its start get the level `debug`. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  /** By Nest's convention, the last parameter is the context. A stack may come before the context. */
  private write(level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal', message: unknown, rest: unknown[]): void {
    const context = rest.at(-1);
    const details = rest.slice(0, -1);
    const fields = { context, ...(details.length > 0 && { details }) };
    if (message instanceof Error) this.logger[level]({ ...fields, err: message });
    else this.logger[level](fields, typeof message === 'string' ? message : JSON.stringify(message));
  }
}
