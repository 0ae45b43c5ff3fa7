import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer, connect } from 'node:net';

/** A network of the test's own between a client and a server on loopback, which can delay answers and break. */
export class TcpProxy {
  private readonly sockets = new Set<Socket>();
  private held: { data: Buffer; client: Socket }[] | undefined;
  private readonly listeners = new Set<() => void>();
  private readonly clients = new Set<Socket>();
  private readonly upstreams = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: () => number,
  ) {
    server.on('connection', (client) => {
      const upstream = connect(this.target(), '127.0.0.1');
      for (const socket of [client, upstream]) {
        this.sockets.add(socket);
        socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
      }
      this.clients.add(client);
      client.on('data', (data) => upstream.write(data)).on('close', () => this.clients.delete(client));
      this.upstreams.add(upstream);
      upstream.on('close', () => this.upstreams.delete(upstream));
      upstream.on('data', (data) => {
        if (!this.held) {
          client.write(data);
          return;
        }
        this.held.push({ data, client });
        for (const listener of this.listeners) listener();
      });
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
  }

  static async start(target: () => number): Promise<TcpProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Keeps what the server answers from now on. */
  hold(): void {
    this.held = [];
  }

  /** Resolves when an answer that contains the text is being held. */
  async holds(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!Buffer.concat((this.held ?? []).map(({ data }) => data)).includes(text)) return;
        this.listeners.delete(look);
        resolve();
      };
      this.listeners.add(look);
      look();
    });
  }

  /** Hands over what was held. */
  release(): void {
    for (const { data, client } of this.held ?? []) client.write(data);
    this.held = undefined;
  }

  /** Drops, without a word, what is sent from now on by the clients of this moment. */
  deafen(): void {
    for (const client of this.clients) client.removeAllListeners('data').resume();
  }

  /** Drops, without a word, what is sent from now on to the clients of this moment; new ones are served. */
  mute(): void {
    for (const upstream of this.upstreams) upstream.removeAllListeners('data').resume();
  }

  /** Breaks all connections, with what they hold; new ones are served. */
  cut(): void {
    this.held = undefined;
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
