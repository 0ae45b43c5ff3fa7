import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer } from 'node:http2';
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

/** What a handler throws to end its call with a status; anything else ends it as an exception does in the server. */
export class StatusError extends Error {
  /** `trailers`: what the client builds its typed errors from. */
  constructor(status, message, trailers = {}) {
    super(message);
    this.status = status;
    this.trailers = trailers;
  }
}

const PREFIX_BYTES = 5;
const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

/** A message in its frame: no compression, length, bytes. */
export const framed = (message) => {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};

/** The first message of some bytes; undefined when it isn't whole. */
export const unframed = (bytes) => {
  if (bytes.length < PREFIX_BYTES) return undefined;
  const end = PREFIX_BYTES + bytes.readUInt32BE(1);
  return bytes.length < end ? undefined : bytes.subarray(PREFIX_BYTES, end);
};

const asHeader = (value) => String(value).replace(/[^\x20-\x7e]/g, '?');

/** One call. */
export class Call {
  constructor(stream, headers, method) {
    this.stream = stream;
    this.headers = headers;
    this.method = method;
    this.moved = new Signal();
    for (const event of ['drain', 'close']) stream.on(event, () => this.moved.give());
    stream.on('error', () => undefined);
    stream.once('wantTrailers', () => stream.sendTrailers(this.trailers));
  }

  /** May more be sent? */
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

  /** Resolves when the next message may be sent. */
  async send(...messages) {
    if (!this.isOpen) return;
    if (!this.stream.headersSent) this.stream.respond(HEADERS, { waitForTrailers: true });
    const bytes = Buffer.concat(messages.map((message) => framed(this.method.responseSerialize(message))));
    if (!this.stream.write(bytes)) await this.moved.next;
  }

  end(status = code.ok, message = '', trailers = {}) {
    if (!this.isOpen) return;
    this.trailers = { 'grpc-status': status, 'grpc-message': encodeURI(message) };
    for (const [name, value] of Object.entries(trailers)) this.trailers[name] = asHeader(value);
    if (this.stream.headersSent) this.stream.end();
    else this.stream.respond({ ...HEADERS, ...this.trailers }, { endStream: true });
    this.stream.resume();
  }

  /** Ends the call without a status, as a server does that stops. */
  abandon() {
    if (!this.isOpen) return;
    if (!this.stream.headersSent) this.stream.respond(HEADERS);
    this.stream.close(0);
  }
}

/**
 * Serves gRPC over HTTP/2 without TLS. Written on node:http2 since a stopping server is to be shown as well: it ends
 * its streams without a status, which the server of @grpc/grpc-js can't do.
 */
export class GrpcServer {
  methods = new Map();
  calls = new Set();
  http = createServer({
    // Of one connection, as the server has it.
    settings: { maxConcurrentStreams: 100, initialWindowSize: 2 ** 20 },
    maxSessionMemory: 1_000,
    streamResetBurst: 1e6,
    streamResetRate: 1e6,
  });

  constructor() {
    // Without it the end of an answer waits for the client to acknowledge its beginning.
    this.http.on('connection', (socket) => socket.setNoDelay(true));
    this.http.on('session', (session) => {
      session.on('error', () => undefined);
      session.once('connect', () => session.setLocalWindowSize(2 ** 22));
    });
    this.http.on('stream', (stream, headers) => void this.answer(stream, headers));
  }

  /** `handlers`: a function of the call for each method served. */
  add(service, handlers) {
    for (const [name, handle] of Object.entries(handlers)) {
      this.methods.set(service[name].path, { method: service[name], handle });
    }
  }

  /** Resolves with the port. */
  async listen(port) {
    this.http.listen(port, '127.0.0.1');
    await once(this.http, 'listening');
    return this.http.address().port;
  }

  /** Refuses new connections; the open ones go on being served. */
  refuseConnections() {
    this.http.close();
  }

  abandonCalls() {
    for (const call of this.calls) call.abandon();
  }

  async answer(stream, headers) {
    const found = this.methods.get(headers[':path']);
    const call = new Call(stream, headers, found?.method);
    if (!found) return call.end(code.unimplemented, 'Service is unimplemented.');
    this.calls.add(call);
    try {
      await found.handle(call);
      call.end();
    } catch (error) {
      if (error instanceof StatusError) call.end(error.status, error.message, error.trailers);
      else call.end(code.unknown, 'Exception was thrown by handler.');
    } finally {
      this.calls.delete(call);
    }
  }
}
