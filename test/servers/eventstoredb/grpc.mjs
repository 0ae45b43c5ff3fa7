import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { Signal } from './signal.mjs';

/** Status codes of gRPC. */
export const code = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  notFound: 5,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
};

/**
 * A handler throws this error to end its call with a gRPC status. Any other error ends the call with status `unknown`.
 */
export class StatusError extends Error {
  /** The client makes its typed errors from `trailers`. */
  constructor(status, message, trailers = {}) {
    super(message);
    this.status = status;
    this.trailers = trailers;
  }
}

const PREFIX_BYTES = 5;
const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

/** Puts a message into its gRPC frame: a flag (0: not compressed, 1: compressed), the length, and the bytes. */
export const framed = (message, flag = 0) => {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt8(flag);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};

/** Returns the first message in these bytes. Returns undefined if the message is not complete. */
export const unframed = (bytes) => {
  if (bytes.length < PREFIX_BYTES) return undefined;
  const end = PREFIX_BYTES + bytes.readUInt32BE(1);
  return bytes.length < end ? undefined : bytes.subarray(PREFIX_BYTES, end);
};

const asHeader = (value) => String(value).replace(/[^\x20-\x7e]/g, '?');

/** A gRPC call, as the handler of the call sees it. */
export class Call {
  /** With `compresses`, the answers are compressed for a client that accepts gzip. */
  constructor(stream, headers, method, compresses) {
    this.stream = stream;
    this.headers = headers;
    this.method = method;
    this.isCompressed = compresses && /\bgzip\b/.test(headers['grpc-accept-encoding'] ?? '');
    this.moved = new Signal();
    for (const event of ['drain', 'close']) stream.on(event, () => this.moved.give());
    stream.on('error', () => undefined);
    stream.once('wantTrailers', () => stream.sendTrailers(this.trailers));
  }

  /** Whether more messages can be sent. */
  get isOpen() {
    return this.trailers === undefined && !this.stream.closed && !this.stream.destroyed;
  }

  get requiresLeader() {
    return this.headers['requires-leader'] === 'true';
  }

  async *requests() {
    let bytes = Buffer.alloc(0);
    for await (const chunk of this.stream.iterator({ destroyOnReturn: false })) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      for (let message; (message = unframed(bytes)); bytes = bytes.subarray(PREFIX_BYTES + message.length)) {
        yield this.method.requestDeserialize(message);
      }
    }
  }

  async request() {
    for await (const request of this.requests()) return request;
    throw new StatusError(code.internal, 'Incomplete message.');
  }

  onClose(listen) {
    this.stream.once('close', listen);
  }

  /** Sends messages. Resolves when the next message may be sent. */
  async send(...messages) {
    if (!this.isOpen) return;
    if (!this.stream.headersSent) {
      const encoding = this.isCompressed && { 'grpc-encoding': 'gzip' };
      this.stream.respond({ ...HEADERS, ...encoding }, { waitForTrailers: true });
    }
    const bytes = Buffer.concat(messages.map((message) => this.frame(this.method.responseSerialize(message))));
    if (!this.stream.write(bytes)) await this.moved.next;
  }

  frame(bytes) {
    return this.isCompressed ? framed(gzipSync(bytes), 1) : framed(bytes);
  }

  end(status = code.ok, message = '', trailers = {}) {
    if (!this.isOpen) return;
    this.trailers = { 'grpc-status': status, 'grpc-message': encodeURI(message) };
    for (const [name, value] of Object.entries(trailers)) this.trailers[name] = asHeader(value);
    if (this.stream.headersSent) this.stream.end();
    else this.stream.respond({ ...HEADERS, ...this.trailers }, { endStream: true });
    this.stream.resume();
  }

  /** Ends the call without a status, as the real server does while it stops. */
  abandon() {
    if (!this.isOpen) return;
    if (!this.stream.headersSent) this.stream.respond(HEADERS);
    this.stream.close(0);
  }
}

/** Answers an ordinary request of HTTP/2. A `StatusError` of the handler becomes 401. */
const answerHttp = async (stream, headers, handle) => {
  const respond = ({ status, answer }) => {
    stream.respond({ ':status': status, 'content-type': 'application/json' });
    stream.end(JSON.stringify(answer));
  };
  try {
    respond(await handle(headers, await text(stream)));
  } catch (error) {
    respond({ status: error instanceof StatusError ? 401 : 400, answer: { error: error.message } });
  }
};

/**
 * Serves gRPC over HTTP/2 without TLS. We use node:http2, because a real EventStoreDB ends its streams without a status
 * when it stops. The server of @grpc/grpc-js can't do that.
 */
export class GrpcServer {
  methods = new Map();
  httpHandlers = new Map();
  calls = new Set();
  /** The error with which every call of `refusedPaths` ends; undefined if no call is refused. */
  refusal = undefined;
  refusedPaths = new Set();
  http = createServer({
    // Limits of a connection. The real server sets the same limits.
    settings: { maxConcurrentStreams: 100, initialWindowSize: 2 ** 20 },
    maxSessionMemory: 1_000,
    streamResetBurst: 1e6,
    streamResetRate: 1e6,
  });

  /** With `compresses`, the answers are compressed for clients that accept gzip. */
  constructor({ compresses = false } = {}) {
    this.compresses = compresses;
    // We switch Nagle's algorithm off. Otherwise the end of a response would wait until the client has acknowledged the
    // beginning of the response.
    this.http.on('connection', (socket) => socket.setNoDelay(true));
    this.http.on('session', (session) => {
      session.on('error', () => undefined);
      session.once('connect', () => session.setLocalWindowSize(2 ** 22));
    });
    this.http.on('stream', (stream, headers) => void this.answer(stream, headers));
  }

  /** Adds a gRPC service. `handlers` maps the name of a method to a function that handles the calls of that method. */
  add(service, handlers) {
    for (const [name, handle] of Object.entries(handlers)) {
      this.methods.set(service[name].path, { method: service[name], handle });
    }
  }

  /** Adds a part of the HTTP API. `handle` takes the headers and the body of a POST, and returns status and answer. */
  addHttp(path, handle) {
    this.httpHandlers.set(path, handle);
  }

  /** Listens on the port (0: a free port). Resolves with the port. */
  async listen(port) {
    this.http.listen(port, '127.0.0.1');
    await once(this.http, 'listening');
    return this.http.address().port;
  }

  /** Refuses new connections. Connections that are open are still served. */
  refuseConnections() {
    this.http.close();
  }

  /** From now on, ends every call of the service with this status, also the calls that are open. */
  refuse(service, { status, message, trailers }) {
    this.refusedPaths = new Set(Object.values(service).map(({ path }) => path));
    this.refusal = new StatusError(status, message, trailers);
    for (const call of this.calls) if (this.refusedPaths.has(call.method.path)) this.fail(call, this.refusal);
  }

  /** Undoes `refuse`. */
  serveAgain() {
    this.refusal = undefined;
  }

  abandonCalls() {
    for (const call of this.calls) call.abandon();
  }

  async answer(stream, headers) {
    const http = this.httpHandlers.get(headers[':path']);
    if (http) return answerHttp(stream, headers, http);
    const found = this.methods.get(headers[':path']);
    const call = new Call(stream, headers, found?.method, this.compresses);
    if (!found) return call.end(code.unimplemented, 'Service is unimplemented.');
    this.calls.add(call);
    try {
      if (this.refusal && this.refusedPaths.has(found.method.path)) throw this.refusal;
      await found.handle(call);
      call.end();
    } catch (error) {
      this.fail(call, error);
    } finally {
      this.calls.delete(call);
    }
  }

  fail(call, error) {
    if (error instanceof StatusError) call.end(error.status, error.message, error.trailers);
    else call.end(code.unknown, 'Exception was thrown by handler.');
  }
}
