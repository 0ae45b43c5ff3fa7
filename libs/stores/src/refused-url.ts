import { ConfigurationError } from '#platform';

/** What adapters throw for no connection string, without its message and cause: they may repeat the credentials in it. */
export const refusedUrl = (variable: string, error: unknown): unknown =>
  error instanceof TypeError ? new ConfigurationError(variable, 'is not a connection string of its store') : error;
