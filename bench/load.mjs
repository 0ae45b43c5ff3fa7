import { Buffer } from 'node:buffer';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';

/** An HTTP/1.1 request as it goes over the wire; bodies are JSON unless `headers` say otherwise. */
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
 * A keep-alive connection with one request at a time. It reads no more of an answer than its status and length, since
 * the load shares the machine with the server that it measures.
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

  /** To `http://host:port`. */
  static open(url) {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => resolve(new Connection(socket))).once('error', reject);
    });
  }

  /** The answer's body, as a Buffer. Throws when it isn't a 2xx. */
  send(request) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
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
    const { resolve, reject } = this.#waiting;
    this.#received = Buffer.alloc(0);
    if (/^HTTP\/1\.1 2\d\d /.test(head)) resolve(body);
    else reject(new Error(`${head.split('\r\n', 1)[0]}: ${body}`));
  }
}

/** One request on a connection of its own; answers the body as text. */
export async function sendOnce(url, request) {
  const connection = await Connection.open(url);
  try {
    return (await connection.send(request)).toString();
  } finally {
    connection.close();
  }
}

/**
 * So many callers for so long, each with a connection of its own and one request at a time, made by `next(caller)`.
 * Every answer must be a 2xx. Answers how many there were, and how many a second.
 */
export async function load({ url, callers, seconds, next }) {
  const connections = await Promise.all(Array.from({ length: callers }, () => Connection.open(url)));
  try {
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * 1000;
    let answered = 0;
    await Promise.all(
      connections.map(async (connection, caller) => {
        while (performance.now() < endsAt) {
          await connection.send(next(caller));
          answered++;
        }
      }),
    );
    return { answered, perSecond: (answered / (performance.now() - startedAt)) * 1000 };
  } finally {
    for (const connection of connections) connection.close();
  }
}
