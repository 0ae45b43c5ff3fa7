import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import proxyAddress from '@fastify/proxy-addr';
import type { Logger } from './logging.js';
import { httpRefusal } from './problem-filter.js';
import { requestIdOf } from './request-id.js';
import type { RequestObserver } from './request-observer.js';

/** Whether an address is a proxy's that may say for whom it asks. */
type TrustsProxy = (address: string, hop: number) => boolean;

/** A request whose head has arrived. */
export class FastRequest {
  /** The caller's `X-Request-Id`, or a new one. */
  readonly id: string;

  constructor(
    private readonly raw: IncomingMessage,
    private readonly trustsProxy: TrustsProxy,
  ) {
    this.id = requestIdOf(raw.rawHeaders);
  }

  get method(): string {
    return this.raw.method ?? '';
  }

  /** The request target as it was sent. */
  get target(): string {
    return this.raw.url ?? '';
  }

  get headers(): IncomingHttpHeaders {
    return this.raw.headers;
  }

  /** Names and values in turn, as they were sent. */
  get rawHeaders(): readonly string[] {
    return this.raw.rawHeaders;
  }

  /** The caller's, seen from behind `TRUSTED_PROXIES`; `unknown` once the caller is gone. */
  get address(): string {
    return proxyAddress(this.raw, this.trustsProxy) || 'unknown';
  }

  /** All of the body. Rejects with a `Problem`: 413 past `maxBytes`, 400 when it breaks off. Node drops what is not read. */
  body(maxBytes: number): Promise<Buffer> {
    const { raw } = this;
    return new Promise((resolve, reject) => {
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
  /** Names and values in turn, as Node's `writeHead` takes them. */
  readonly headers: readonly string[];
  /** Absent: none. */
  readonly body?: string;
}

/** A route that is answered before Fastify: for what is asked thousands of times a second. */
export interface FastRoute {
  /** What metrics and logs call it. */
  readonly pattern: string;
  /** Whether it is this one's; `path` is the request target before a `?`, not decoded. */
  matches(path: string): boolean;
  /** Answers every method, at once where it can. What it throws or rejects with is a 500 that says nothing. */
  answer(request: FastRequest): FastAnswer | Promise<FastAnswer>;
}

export interface FastPathOptions {
  /** On every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Addresses and CIDRs. */
  readonly trustedProxies: readonly string[];
  readonly logger: Logger;
  readonly observe: RequestObserver;
}

/**
 * Routes on Node's own HTTP server, beside Fastify's: same ids, headers, metrics and log lines, but no hooks, plugins
 * or serialisers, which cost as much as all that such a route does (decision 8).
 */
export class FastPath {
  private readonly routes: FastRoute[] = [];
  private readonly headers: readonly string[];
  private readonly trustsProxy: TrustsProxy;
  /** Answers end their connections, so that the server can close. */
  isClosing = false;

  constructor(private readonly options: FastPathOptions) {
    this.headers = Object.entries(options.headers).flat();
    this.trustsProxy = proxyAddress.compile([...options.trustedProxies]);
  }

  add(...routes: FastRoute[]): void {
    this.routes.push(...routes);
  }

  /** Answers its own routes, and leaves all else to `next`. */
  before(next: RequestListener): RequestListener {
    return (request, response) => {
      const path = pathOf(request.url ?? '');
      const route = this.routes.find((each) => each.matches(path));
      if (route) this.serve(route, request, response);
      else next(request, response);
    };
  }

  private serve(route: FastRoute, raw: IncomingMessage, response: ServerResponse): void {
    const beganAt = performance.now();
    const request = new FastRequest(raw, this.trustsProxy);
    const send = ({ status, headers, body = '' }: FastAnswer) => {
      const length = ['x-request-id', request.id, 'content-length', String(Buffer.byteLength(body))];
      const ending = this.isClosing ? ['connection', 'close'] : [];
      response.writeHead(status, this.headers.concat(length, headers, ending)).end(body);
      const milliseconds = performance.now() - beganAt;
      this.options.observe({ id: request.id, method: request.method, route: route.pattern, status, milliseconds });
    };
    const fail = (err: unknown) => {
      this.options.logger.error({ requestId: request.id, err }, 'request failed');
      if (response.headersSent) response.destroy();
      else send({ status: 500, headers: ['cache-control', 'no-store'] });
    };
    try {
      const answer = route.answer(request);
      if (answer instanceof Promise) answer.then(send).catch(fail);
      else send(answer);
    } catch (err) {
      fail(err);
    }
  }
}

const pathOf = (target: string): string => {
  const end = target.indexOf('?');
  return end < 0 ? target : target.slice(0, end);
};
