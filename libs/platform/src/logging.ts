import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, destination, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type { LogLevel } from './configuration.js';

export type { Logger } from 'pino';

/** Injection token of the process's one pino `Logger`. */
export const LOGGER = Symbol('Logger');

/** Fields that never reach a log line, however deep in what is logged. */
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

/** JSON lines on `stream` (default: stdout, written in the background, flushed when the process ends). */
export const createLogger = (level: LogLevel, stream: DestinationStream = destination({ sync: false })): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      // Not pino's `redact`: its wildcards cost more than the rest of the request.
      formatters: { level: (label) => ({ level: label }), log: (fields) => withoutSecrets(fields, 1) },
      // Errors were made plain by then.
      serializers: { err: (error: unknown) => error },
    },
    stream,
  );

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
  if (value instanceof Error) return withoutSecrets(stdSerializers.err(value), depth + 1);
  if (Array.isArray(value)) return value.map((item) => safeValue(item, depth + 1));
  return value instanceof Date || value instanceof URL ? value : withoutSecrets(value, depth + 1);
}

/** Nest's own messages in the same log; what it tells about its start is `debug`. */
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

  /** Nest's convention: the last parameter is the context; before it there may be a stack. */
  private write(level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal', message: unknown, rest: unknown[]): void {
    const context = rest.at(-1);
    const details = rest.slice(0, -1);
    const fields = { context, ...(details.length > 0 && { details }) };
    if (message instanceof Error) this.logger[level]({ ...fields, err: message });
    else this.logger[level](fields, typeof message === 'string' ? message : JSON.stringify(message));
  }
}
