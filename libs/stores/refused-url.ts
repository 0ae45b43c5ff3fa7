import { ConfigurationError, unreadableFile } from '#platform/without-http';

/**
 * Turns an adapter's error about a bad connection string, or about a file that the string names, into a
 * `ConfigurationError` that names the environment variable, or the option of a command. Keeps only the message of the adapter's error, because the
 * error's cause might reveal the connection string. Returns any other error unchanged.
 */
export function refusedUrl(variable: string, error: unknown): unknown {
  if (error instanceof TypeError) {
    return new ConfigurationError(variable, `is not a connection string of its store: ${error.message}`);
  }
  return unreadableFile(variable, error) ?? error;
}
