import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A proxy that stands for the network between a client and a server on 127.0.0.1. A test can hold back the server's
 * responses, drop data, and break the connections.
 */
export class TcpProxy {
  private readonly sockets = new Set<Socket>();
  private held: { data: Buffer; client: Socket }[] | undefined;
  private readonly listeners = new Set<() => void>();
  private readonly clients = new Set<Socket>();
  private readonly upstreams = new Set<Socket>();
  /** Number of bytes that the server has sent so far. */
  bytesAnswered = 0;

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
        this.bytesAnswered += data.length;
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

  /** From now on, holds back what the server sends. */
  hold(): void {
    this.held = [];
  }

  /**
   * Resolves when the held bytes contain a whole answer of a gRPC server. No call may be answered when `hold` is
   * called. The answer's content is not looked at, because a server may compress it.
   */
  async waitForHeldAnswer(): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!endsStream(Buffer.concat((this.held ?? []).map(({ data }) => data)))) return;
        this.listeners.delete(look);
        resolve();
      };
      this.listeners.add(look);
      look();
    });
  }

  /** Delivers the held bytes, and holds nothing back any more. */
  release(): void {
    for (const { data, client } of this.held ?? []) client.write(data);
    this.held = undefined;
  }

  /** From now on, silently drops what the currently connected clients send. New connections work. */
  dropRequests(): void {
    for (const client of this.clients) client.removeAllListeners('data').resume();
  }

  /** From now on, silently drops what the server sends to the currently connected clients. New connections work. */
  dropAnswers(): void {
    for (const upstream of this.upstreams) upstream.removeAllListeners('data').resume();
  }

  /** Breaks all connections and drops the held bytes. New connections work. */
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

const FRAME_HEADER_BYTES = 9;
const HEADERS_FRAME = 1;
const END_STREAM_FLAG = 1;

/** Whether these frames of HTTP/2 contain trailers, with which a gRPC server ends an answer (RFC 9113, section 4.1). */
function endsStream(frames: Buffer): boolean {
  for (let at = 0; at + FRAME_HEADER_BYTES <= frames.length; at += FRAME_HEADER_BYTES + frames.readUIntBE(at, 3)) {
    if (frames[at + 3] === HEADERS_FRAME && ((frames[at + 4] ?? 0) & END_STREAM_FLAG) !== 0) return true;
  }
  return false;
}
