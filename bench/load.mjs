import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** Returns the bytes of an HTTP/1.1 request. The body is sent as JSON, unless `headers` has another content type. */
export function httpRequest(method, path, { headers = {}, body } = {}) {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const lines = Object.entries({
    host: 'bench',
    ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${text ?? ''}`;
}

/**
 * A keep-alive connection that carries one request at a time. The connection parses only the status and length of a
 * response, because parsing costs CPU time of the machine on which the measured server runs.
 */
export class Connection {
  #socket;
  #received = Buffer.alloc(0);
  #waiting;

  constructor(socket) {
    this.#socket = socket
      .setNoDelay(true)
      .on('data', (chunk) => this.#receive(chunk))
      .on('error', (error) => this.#waiting?.reject(error))
      .on('close', () => this.#waiting?.reject(new Error('The server closed the connection')));
  }

  /** Connects to `http://host:port`. */
  static open(url) {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => resolve(new Connection(socket))).once('error', reject);
    });
  }

  /** Sends a request. Returns the response's status and body (a Buffer). */
  exchange(request) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  /** Sends a request. Returns the response's body. Throws when the status is not 2xx. */
  async send(request) {
    const { status, body } = await this.exchange(request);
    if (status < 200 || status > 299) throw new Error(`${status}: ${body}`);
    return body;
  }

  close() {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #receive(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.latin1Slice(0, headEnd);
    const bodyEnd = headEnd + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
    if (this.#received.length < bodyEnd) return;
    const body = this.#received.subarray(headEnd + 4, bodyEnd);
    const { resolve } = this.#waiting;
    this.#received = Buffer.alloc(0);
    resolve({ status: Number(head.slice(9, 12)), body });
  }
}

/** Sends one request on a new connection. Returns the response's body as text. */
export async function sendOnce(url, request) {
  const connection = await Connection.open(url);
  try {
    return (await connection.send(request)).toString();
  } finally {
    connection.close();
  }
}

/**
 * Runs `callers` callers for `seconds`. Each caller has its own connection and sends the requests of `next(caller)`,
 * one at a time. Throws when a response is not 2xx. Returns the number of responses, the responses per second, and the
 * duration of each request in ms.
 */
export async function load({ url, callers, seconds, next }) {
  const connections = await openAll(url, callers);
  try {
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * 1000;
    const durations = [];
    await Promise.all(
      connections.map(async (connection, caller) => {
        for (let at = performance.now(); at < endsAt;) {
          await connection.send(next(caller));
          const answeredAt = performance.now();
          durations.push(answeredAt - at);
          at = answeredAt;
        }
      }),
    );
    const answered = durations.length;
    return { answered, perSecond: (answered / (performance.now() - startedAt)) * 1000, durations };
  } finally {
    for (const connection of connections) connection.close();
  }
}

/**
 * Sends requests at a fixed rate, even while responses are slow. The duration of a request begins when the request was
 * due. So a stall of the server counts for every request that the stall delayed. With `refused`, all responses must be
 * 4xx. Without `refused`, all responses must be 2xx.
 */
export async function pacedLoad({ url, connections: count = 64, perSecond, seconds, next, refused = false }) {
  const idle = await openAll(url, count);
  const connections = [...idle];
  const isExpected = (status) => Math.floor(status / 100) === (refused ? 4 : 2);
  const durations = [];
  const waiting = [];
  const serve = async (connection) => {
    for (let due = waiting.shift(); due !== undefined; due = waiting.shift()) {
      const { status, body } = await connection.exchange(next());
      if (!isExpected(status)) throw new Error(`${status}: ${body}`);
      durations.push(performance.now() - due);
    }
    idle.push(connection);
  };
  try {
    const startedAt = performance.now();
    const total = Math.floor(perSecond * seconds);
    const served = [];
    let failure;
    for (let made = 0; made < total && failure === undefined;) {
      const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond));
      for (; made < due; made++) waiting.push(startedAt + (made / perSecond) * 1000);
      while (waiting.length > 0 && idle.length > 0) {
        served.push(serve(idle.pop()).catch((error) => (failure = error)));
      }
      await delay(1);
    }
    await Promise.all(served);
    if (failure !== undefined) throw failure;
    return { durations };
  } finally {
    for (const connection of connections) connection.close();
  }
}

const openAll = (url, count) => Promise.all(Array.from({ length: count }, () => Connection.open(url)));
