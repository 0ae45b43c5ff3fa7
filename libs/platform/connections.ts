import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** How often connections that have become idle are looked for while the process stops, in ms. */
const IDLE_CHECK_MS = 50;
/** How long a connection that has not sent anything may take to send its first request, in ms. */
const FIRST_REQUEST_MS = 500;
/** How long a caller may take to close its side of a connection after the last answer, in ms. */
const LINGER_MS = 1_000;
/** The longest wait for a quiet turn of the event loop, in ms. */
const MAX_QUIET_WAIT_MS = 1_000;

export interface CloseOptions {
  /** How long new connections are still accepted, in ms. */
  readonly graceMs: number;
  /** How long requests may take after that, in ms. */
  readonly drainMs: number;
  /** Requests are held back while the listener closes. */
  readonly requests: { hold(): void; release(): void };
  /** Called when requests take longer. Their connections are then closed. */
  readonly onLate: () => void;
}

/**
 * The open connections of an app's HTTP servers, and how they end without a lost request.
 *
 * A process that closes a socket loses what the kernel has received for it but the process has not read, and the caller
 * gets a TCP reset. This concerns connections that wait in the listener's queue, and requests that arrive on idle
 * connections. `close` therefore
 *
 * 1. goes on accepting connections for a while, so that load balancers notice that the process is not ready. Meanwhile
 *    each answer ends its connection (`BeforeFastify.endsConnection`),
 * 2. closes the listener, and later each idle connection, in a quiet turn of the event loop: one that found nothing to
 *    accept and little to read. What arrives in the few microseconds after that is still lost, as with every server.
 *    Node accepts one connection in a turn, so requests are held back until the listener is closed: callers who connect
 *    again after each answer would fill the listener's queue as fast as it is emptied,
 * 3. after the last answer, ends only the sending side of a connection, and waits for the caller to do the same. A caller
 *    that has sent more would otherwise get a reset, which may destroy the answer before it is read (RFC 9112 §9.6).
 */
export class Connections {
  private readonly servers: Server[] = [];
  /** When each open connection was accepted, by `performance.now()`. */
  private readonly openedAt = new Map<Socket, number>();
  private accepted = 0;
  private isClosing = false;

  /** Watches the connections of one more server. Its listener MUST ignore requests on sockets that have been ended. */
  add(server: Server): Server {
    server.on('connection', (socket: Socket) => {
      this.accepted += 1;
      this.openedAt.set(socket, performance.now());
      socket.once('close', () => this.openedAt.delete(socket));
      if (this.isClosing) endGently(socket);
    });
    this.servers.push(server);
    return server;
  }

  /** Resolves when all connections are closed. */
  async close({ graceMs, drainMs, requests, onLate }: CloseOptions): Promise<void> {
    this.isClosing = true;
    for (const socket of this.openedAt.keys()) endGently(socket);
    if (graceMs > 0) await delay(graceMs);
    requests.hold();
    await this.quietTurn();
    // Only the listeners: `close` of an HTTP server would also close idle connections.
    for (const server of this.servers) NetServer.prototype.close.call(server);
    requests.release();
    const giveUpAt = performance.now() + drainMs;
    const firstRequestMs = Math.min(graceMs, FIRST_REQUEST_MS);
    for (;;) {
      this.closeIdle(firstRequestMs);
      if (this.openedAt.size === 0) return;
      if (performance.now() > giveUpAt) break;
      await delay(IDLE_CHECK_MS);
      await this.quietTurn();
    }
    onLate();
    for (const server of this.servers) server.closeAllConnections();
  }

  private closeIdle(firstRequestMs: number): void {
    for (const server of this.servers) server.closeIdleConnections();
    // For Node, a connection that has not sent anything is not idle.
    const before = performance.now() - firstRequestMs;
    for (const [socket, openedAt] of this.openedAt) {
      if (socket.bytesRead === 0 && openedAt <= before) socket.destroy();
    }
  }

  /** Resolves right after a turn of the event loop that found no new connection, and had little else to do. */
  private quietTurn(): Promise<void> {
    const startedAt = performance.now();
    return new Promise((resolve) => {
      const afterTurn = (beganAt: number, accepted: number) => {
        const now = performance.now();
        const waited = now - startedAt;
        // The longer the wait, the longer a turn may take to count as quiet.
        const isQuiet = accepted === this.accepted && (now - beganAt) * 50 < waited;
        if (isQuiet || waited > MAX_QUIET_WAIT_MS) resolve();
        else setImmediate(afterTurn, performance.now(), this.accepted);
      };
      setImmediate(afterTurn, startedAt, this.accepted);
    });
  }
}

/** Makes the last answer on this connection end only the sending side. Node would close the connection at once. */
function endGently(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  };
}
