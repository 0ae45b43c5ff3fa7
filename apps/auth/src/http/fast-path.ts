import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import proxyAddress from '@fastify/proxy-addr';
import {
  type BeforeFastify,
  type EarlyHandler,
  httpRefusal,
  type Logger,
  type Problem,
  type RequestFacts,
  requestIdOf,
  requirePlainUtf8,
  trustIn,
  type TrustsProxy,
  withoutPort,
} from '#platform';

/** A request whose headers have arrived. The body may still be on its way. */
export class FastRequest {
  /** The caller's `X-Request-Id` if the header is valid, and otherwise a new id. */
  readonly id: string;
  readonly method: string;
  /** The request target (path and query), exactly as the caller sent it, but without the scheme and host of a URL. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  /** The headers exactly as the caller sent them: name, value, name, value, …. */
  readonly rawHeaders: readonly string[];

  /** `problem`: what is wrong with the head of the request. If anything is, each handler MUST refuse the request. */
  constructor(
    readonly raw: IncomingMessage,
    readonly problem: Problem | undefined,
    private readonly trustsProxy: TrustsProxy,
  ) {
    const { method = '', url = '', headers, rawHeaders } = raw;
    this.id = requestIdOf(rawHeaders);
    this.method = method;
    this.target = url;
    this.headers = headers;
    this.rawHeaders = rawHeaders;
  }

  /** The address of the caller in front of all `TRUSTED_PROXIES`; `unknown` after the caller has disconnected. */
  get address(): string {
    return withoutPort(proxyAddress(this.raw, this.trustsProxy)) || 'unknown';
  }

  /**
   * Reads the whole body. Rejects with a `Problem`: 413 if the body has more than `maxBytes` bytes, 415 if the body is
   * compressed or not UTF-8, and 400 if the body breaks off. A handler may ignore the body: Node discards an unread
   * body.
   */
  body(maxBytes: number): Promise<Buffer> {
    const { raw } = this;
    return new Promise((resolve, reject) => {
      requirePlainUtf8(raw);
      if (Number(raw.headers['content-length'] ?? 0) > maxBytes) {
        reject(httpRefusal(413));
        return;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      raw.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxBytes) reject(httpRefusal(413));
        else chunks.push(chunk);
      });
      raw.on('end', () => {
        resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
      });
      raw.on('error', (error) => {
        reject(httpRefusal(400, error));
      });
    });
  }
}

export interface FastAnswer {
  readonly status: number;
  /** The headers in the form that Node's `writeHead` takes: name, value, name, value, …. */
  readonly headers: readonly string[];
  /** If absent, the body is empty. */
  readonly body?: string;
  /** What the request's log line says besides. */
  readonly facts?: RequestFacts;
}

/**
 * Returns the answer, or a promise of the answer. If a handler throws or rejects, the answer is a 500 with an empty
 * body.
 */
export type Handler = (request: FastRequest) => FastAnswer | Promise<FastAnswer>;

export interface Route {
  /** `GET` also matches `HEAD`. `ANY` matches every method for which no other route has this path. */
  readonly method: 'GET' | 'POST' | 'ANY';
  /**
   * `/a/b` matches exactly this path. `/:name/b` matches any first segment. `/a/*` matches every path below `/a/`.
   * Metrics and logs use this text, without the `/*`, as the name of the route.
   */
  readonly path: string;
  readonly handler: Handler;
}

type RoutesByMethod = Map<string, Route>;

/**
 * Finds the route of a request. Paths are compared without decoding, because a gateway check must see the consumer's
 * path exactly as sent. Only `GET` routes also match other encodings of their path.
 */
export class RouteTable {
  private readonly byPath = new Map<string, RoutesByMethod>();
  private readonly byPrefix = new Map<string, RoutesByMethod>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const { method, path } = route;
      const isPrefix = path.endsWith('/*');
      const table = isPrefix ? this.byPrefix : this.byPath;
      const key = isPrefix ? path.slice(0, -1) : path.replace(/^\/:[^/]+/, ANY_SEGMENT);
      const byMethod: RoutesByMethod = table.get(key) ?? new Map<string, Route>();
      table.set(key, byMethod.set(method, route));
      if (method === 'GET') byMethod.set('HEAD', route);
    }
  }

  /** Returns the route for this method and path. `path` is the request target without its query. */
  find(method: string, path: string): Route | undefined {
    const byMethod = this.byPath.get(path) ?? this.withAnyFirstSegment(path) ?? this.below(path);
    if (byMethod) return byMethod.get(method) ?? byMethod.get('ANY');
    return method === 'GET' || method === 'HEAD' ? this.byPath.get(decodedPath(path))?.get(method) : undefined;
  }

  private withAnyFirstSegment(path: string): RoutesByMethod | undefined {
    const end = path.indexOf('/', 1);
    return end > 1 ? this.byPath.get(ANY_SEGMENT + path.slice(end)) : undefined;
  }

  private below(path: string): RoutesByMethod | undefined {
    for (const [prefix, byMethod] of this.byPrefix) if (path.startsWith(prefix)) return byMethod;
    return undefined;
  }
}

const ANY_SEGMENT = '/:';

/** Decodes the percent-encoding of a path (RFC 3986 §6.2.2.2). */
function decodedPath(path: string): string {
  if (!path.includes('%')) return path;
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

export interface FastPathOptions {
  readonly routes: readonly Route[];
  readonly platform: Pick<BeforeFastify, 'headers' | 'observe' | 'isClosing' | 'endsConnection'>;
  /** Addresses and CIDRs of the proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
}

/**
 * Answers requests directly on Node's HTTP server, before Fastify. The answers have the same ids, headers, metrics and
 * log lines as Fastify's answers. Fastify's hooks, plugins and serialisers are skipped, because they cost as much as
 * all other work of such a route (docs/decisions/0008).
 */
export class FastPath {
  private readonly routes: RouteTable;
  private readonly headers: readonly string[];
  private readonly trustsProxy: TrustsProxy;

  constructor(private readonly options: FastPathOptions) {
    this.routes = new RouteTable(options.routes);
    this.headers = Object.entries(options.platform.headers).flat();
    this.trustsProxy = trustIn(options.trustedProxies);
  }

  /** Answers a request if one of the routes matches. Returns whether a route matched. */
  readonly handle: EarlyHandler = (request, response, problem) => {
    const route = this.routes.find(request.method ?? '', pathOf(request.url ?? ''));
    if (!route) return false;
    this.serve(route, new FastRequest(request, problem, this.trustsProxy), response);
    return true;
  };

  private serve({ path, handler }: Route, request: FastRequest, response: ServerResponse): void {
    const { platform, logger } = this.options;
    const beganAt = performance.now();
    const send = ({ status, headers, body = '', facts }: FastAnswer) => {
      const bytes = Buffer.byteLength(body);
      const all = [...this.headers, 'x-request-id', request.id];
      // A 304 has no body and gets no `content-length`. RFC 9110 §8.6 would require the length of the 200 answer there.
      if (status !== 304) all.push('content-length', String(bytes));
      all.push(...headers);
      if (platform.isClosing && platform.endsConnection(request.raw)) all.push('connection', 'close');
      response.writeHead(status, all);
      if (bytes > 0) writeAtOnce(response, body, bytes);
      response.end();
      const milliseconds = performance.now() - beganAt;
      const route = path.endsWith('/*') ? path.slice(0, -2) : path;
      const { id, method, target } = request;
      const { traceparent } = request.headers;
      platform.observe({ id, method, route, status, milliseconds, target, traceparent, facts });
    };
    const fail = (err: unknown) => {
      logger.error({ requestId: request.id, err }, 'request failed');
      if (response.headersSent) response.destroy();
      else send({ status: 500, headers: ['cache-control', 'no-store'] });
    };
    try {
      const answer = handler(request);
      if (answer instanceof Promise) answer.then(send).catch(fail);
      else send(answer);
    } catch (err) {
      fail(err);
    }
  }
}

/**
 * Writes the head and the whole body of an answer in one piece. `end(body)` would write a second, empty piece together
 * with the first, which takes longer. `bytes` is the number of bytes of the body in UTF-8.
 */
function writeAtOnce(response: ServerResponse, body: string, bytes: number): void {
  // If each character takes one byte, the body is ASCII. Node writes ASCII faster as Latin-1 than as UTF-8.
  response.write(body, bytes === body.length ? 'latin1' : 'utf8');
  // `write` corks the socket until the end of the turn, so that further pieces would join the first one.
  response.socket?.uncork();
}

/** Returns the target without its query. A fragment is cut off, too, so that its route can refuse it. */
const pathOf = (target: string): string => {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
};
