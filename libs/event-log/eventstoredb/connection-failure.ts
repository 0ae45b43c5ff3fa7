import { LogRefused, LogUnavailable, probeServers, type ServerAddress } from '#event-log';
import { type ConnectionString, parseConnectionString } from './connection-string.js';
import { asPortError, messageOf } from './errors.js';

/** Thrown if the driver's channel to one server can't be opened. */
export class NoConnection extends LogUnavailable {
  override readonly name = 'LogUnavailable';
  readonly server: ServerAddress | undefined;

  /** `target` is the server's address as gRPC shows it, such as `dns:node1:2113`. */
  constructor(target: string) {
    super(`No connection to EventStoreDB at ${target}`);
    const [, host, port] = /^(?:dns:)?([^:]+):(\d+)$/.exec(target) ?? [];
    this.server = host === undefined ? undefined : { host, port: Number(port) };
  }
}

/** Turns the error of a failed attempt to connect into one that says why the attempt failed. */
export type ConnectionFailureExplainer = (error: unknown) => Promise<Error>;

/**
 * Returns an explainer for this connection string, which operators call `urlName`. The driver tells neither what is
 * wrong with a certificate, nor which of several servers it could not reach, so the explainer connects once to each
 * server itself. If only an operator can put it right, the error is a `LogRefused`; otherwise it is a `LogUnavailable`.
 */
export const explainerFor =
  (url: string, urlName: string): ConnectionFailureExplainer =>
  async (error) => {
    // The server has not answered in time. A probe would only wait again.
    if (error instanceof LogUnavailable && !(error instanceof NoConnection)) return error;
    let settings: Pick<ConnectionString, 'servers' | 'tls'>;
    try {
      settings = parseConnectionString(url);
    } catch (unreadable) {
      return new LogRefused(`${urlName} can’t be used any more: ${messageOf(unreadable)}`);
    }
    const { tls } = settings;
    const servers = error instanceof NoConnection && error.server ? [error.server] : settings.servers;
    const found = await probeServers(servers, tls);
    if (found.length === 0) return asPortError(error);
    const message = `No connection to EventStoreDB: ${found.map(({ what }) => what).join('; ')}`;
    const isMisconfigured = found.length === servers.length && found.every((trouble) => trouble.isMisconfigured);
    return isMisconfigured
      ? new LogRefused(`${message} (see ${urlName})`, { cause: error })
      : new LogUnavailable(message, { cause: error });
  };
