import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';

/** A certificate with its key, both in PEM form. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Ends the TLS of connections to a server on 127.0.0.1 that speaks without TLS, so that it looks like one with TLS. */
export class TlsFront {
  private readonly sockets = new Set<TLSSocket>();

  private constructor(
    private readonly server: Server,
    target: number,
  ) {
    server.on('tlsClientError', () => undefined);
    server.on('secureConnection', (client) => {
      const upstream = connect(target, '127.0.0.1');
      this.sockets.add(client);
      client.on('error', () => undefined).on('close', () => (this.sockets.delete(client), upstream.destroy()));
      upstream.on('error', () => undefined).on('close', () => client.destroy());
      client.pipe(upstream).pipe(client);
    });
  }

  /** Starts on a free port, or on the given one. `target` is the port of the server behind. */
  static async start(target: number, certificate: ServerCertificate, port = 0): Promise<TlsFront> {
    const server = createServer({ ...certificate, ALPNProtocols: ['h2'] }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new TlsFront(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** From now on, new connections get this certificate. */
  renew(certificate: ServerCertificate): void {
    this.server.setSecureContext(certificate);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await once(this.server.close(), 'close');
  }
}
