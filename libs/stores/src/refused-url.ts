import { ConfigurationError } from '#platform';

/** What adapters throw for no connection string: their own words, which show nothing of it, without what caused them. */
export const refusedUrl = (variable: string, error: unknown): unknown =>
  error instanceof TypeError
    ? new ConfigurationError(variable, `is not a connection string of its store: ${error.message}`)
    : error;
