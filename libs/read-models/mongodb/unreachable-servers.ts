import type { MongoClient } from 'mongodb';
import { probeServers, type ServerAddress, type TlsSettings } from '#event-log';
import { ReadStoreUnavailable } from '#read-models';

/**
 * The servers that the driver can't connect to now. The errors of the driver's calls don't say why: an operator would
 * see only that no server could be selected.
 */
export class UnreachableServers {
  /** The servers whose last heartbeat failed, as `host:port`. */
  private readonly addresses = new Set<string>();
  private probing: Promise<string[]> | undefined;
  private isMisconfigured = false;

  constructor(private readonly client: MongoClient) {
    client.on('serverHeartbeatFailed', ({ connectionId }) => this.addresses.add(connectionId));
    client.on('serverHeartbeatSucceeded', ({ connectionId }) => this.addresses.delete(connectionId));
    client.on('topologyDescriptionChanged', ({ newDescription: { servers } }) => {
      // The driver forgets all servers, too, when it gives up. Then we still want to know why.
      if (servers.size === 0) return;
      for (const address of this.addresses) if (!servers.has(address)) this.addresses.delete(address);
    });
  }

  /** Returns the error with the reasons for which servers can't be reached. Returns any other error unchanged. */
  async explain(error: unknown): Promise<unknown> {
    if (!(error instanceof ReadStoreUnavailable) || this.addresses.size === 0) return error;
    this.probing ??= this.probe().finally(() => (this.probing = undefined));
    const reasons = await this.probing;
    if (reasons.length === 0) return error;
    const message = `No connection to MongoDB: ${reasons.join('; ')} (see MONGODB_URL)`;
    return new ReadStoreUnavailable(message, { needsOperator: this.isMisconfigured });
  }

  private async probe(): Promise<string[]> {
    const found = await probeServers([...this.addresses].map(serverAt), tlsOf(this.client));
    this.isMisconfigured = found.length > 0 && found.every((trouble) => trouble.isMisconfigured);
    return found.map(({ what }) => what);
  }
}

function serverAt(address: string): ServerAddress {
  const [, host = '', port] = /^(.*):(\d+)$/.exec(address) ?? [];
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** Returns the settings of TLS, with the files that the driver has read; `undefined` for connections without TLS. */
function tlsOf({ options }: MongoClient): TlsSettings | undefined {
  if (!options.tls) return undefined;
  const { ca, cert, key, passphrase, rejectUnauthorized, checkServerIdentity } = options;
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(passphrase !== undefined && { passphrase }),
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    ...(checkServerIdentity !== undefined && { checkServerIdentity }),
  };
}
