import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface HttpRequest {
  /** If a header has several values, a separate header line is sent for each value. */
  readonly headers?: Readonly<Record<string, string | string[]>> | undefined;
  /** A Buffer is sent unchanged, any other value as JSON. */
  readonly body?: unknown;
}

/** A problem document (RFC 9457) with the fields that our API adds. */
export interface ProblemAnswer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

/** An HTTP response. A success has a `body` of type `Body`, a refusal has a `problem`. */
export class Answer<Body> {
  constructor(
    readonly status: number,
    readonly headers: IncomingHttpHeaders,
    readonly text: string,
  ) {}

  /** Throws an error with the response's status and text if the request was refused. */
  get body(): Body {
    if (this.status >= 300) throw new Error(`${this.status} ${this.text}`);
    return JSON.parse(this.text) as Body;
  }

  /** Throws if the response is not a problem document. */
  get problem(): ProblemAnswer {
    if (this.headers['content-type'] !== 'application/problem+json') throw new Error(`${this.status} ${this.text}`);
    return JSON.parse(this.text) as ProblemAnswer;
  }

  /** The status and the error code of a refusal, for example `409 CLIENT_REVOKED`. */
  get refusal(): string {
    const { status, code } = this.problem;
    return `${status} ${code}`;
  }

  header(name: string): string {
    const value = this.headers[name];
    if (typeof value !== 'string') throw new Error(`${this.status} without the header ${name}: ${this.text}`);
    return value;
  }
}

const HANG_SECONDS = 120;

const agent = new Agent({ keepAlive: true });

/** Sends a request with the path unchanged. `fetch` would resolve dots in the path and escape some characters. */
export const send = <Body>(
  method: string,
  url: string,
  path: string,
  { headers = {}, body }: HttpRequest = {},
): Promise<Answer<Body>> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const isJson = body !== undefined && !Buffer.isBuffer(body);
    const bytes = isJson ? Buffer.from(JSON.stringify(body)) : body;
    // If a GET or DELETE request has a body but no length, Node sends no header that announces the body. The server
    // would then take the body for the connection's next request.
    const length = bytes && !('transfer-encoding' in headers) && { 'content-length': bytes.length };
    const outgoing = request(
      {
        agent,
        hostname,
        port,
        method,
        path,
        headers: { ...(isJson && { 'content-type': 'application/json' }), ...length, ...headers },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          resolve(new Answer(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks).toString()));
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(bytes);
  });

/**
 * Calls `ask` again and again until `isIt` accepts the result. After `seconds`, throws an error that contains the last
 * result. This limit is only for what hangs: to test how long something takes, use `idleMs`.
 */
export async function eventually<T>(
  ask: () => Promise<T>,
  isIt: (answer: T) => boolean,
  seconds = HANG_SECONDS,
): Promise<T> {
  const giveUpAt = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (isIt(answer)) return answer;
    if (performance.now() > giveUpAt) throw new Error(`Waited for ${seconds} s in vain: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
