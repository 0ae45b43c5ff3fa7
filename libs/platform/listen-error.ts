import { type Configuration, ConfigurationError } from './configuration.js';

/**
 * Returns the error that tells an operator why a server can't listen, and which variable to change. `error` is what Node
 * has thrown, and `variable` holds the port. Returns `error` itself if it has another cause.
 */
export function listenError(
  error: unknown,
  variable: 'PORT' | 'METRICS_PORT',
  { host, port }: Pick<Configuration, 'host' | 'port'>,
): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new ConfigurationError(variable, `${port} is in use: another process listens on it at ${host}`);
    case 'EACCES':
      return new ConfigurationError(variable, `${port} may not be opened by this user`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ConfigurationError('HOST', `${host} is no address of this machine`);
    default:
      return error;
  }
}
