import { ConfigurationError } from '#platform/without-http';

/**
 * Turns an adapter's error about a bad connection string into a `ConfigurationError` that names the environment
 * variable. Keeps only the message of the adapter's error, because the error's cause might reveal the connection
 * string. Returns any other error unchanged.
 */
export const refusedUrl = (variable: string, error: unknown): unknown =>
  error instanceof TypeError
    ? new ConfigurationError(variable, `is not a connection string of its store: ${error.message}`)
    : error;
