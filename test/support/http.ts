import { type IncomingHttpHeaders, Agent, request } from 'node:http';

export interface HttpRequest {
  /** Several values go out as several headers of that name. */
  readonly headers?: Readonly<Record<string, string | string[]>> | undefined;
  /** Bytes go out as they are; anything else as JSON. */
  readonly body?: unknown;
}

/** RFC 9457, as this API fills it. */
export interface ProblemAnswer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

/** An answer whose `body` is read as `Body` where it is a success, and as a problem where it is a refusal. */
export class Answer<Body> {
  constructor(
    readonly status: number,
    readonly headers: IncomingHttpHeaders,
    readonly text: string,
  ) {}

  /** Throws when the request was refused, saying how. */
  get body(): Body {
    if (this.status >= 300) throw new Error(`${this.status} ${this.text}`);
    return JSON.parse(this.text) as Body;
  }

  /** Throws when the answer is no problem. */
  get problem(): ProblemAnswer {
    if (this.headers['content-type'] !== 'application/problem+json') throw new Error(`${this.status} ${this.text}`);
    return JSON.parse(this.text) as ProblemAnswer;
  }

  /** `409 CLIENT_REVOKED`: what most tests want to know of a refusal. */
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

const agent = new Agent({ keepAlive: true });

/** Sends the path as it stands: `fetch` would resolve its dots and escape its characters. */
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
    // Node frames no body of GET and DELETE by itself: its bytes would begin the connection's next request.
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

/** Asks again until the answer is the one that is waited for. Throws after `seconds`, with the last answer. */
export async function eventually<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean, seconds = 10): Promise<T> {
  const giveUpAt = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (isIt(answer)) return answer;
    if (performance.now() > giveUpAt) throw new Error(`Waited for ${seconds} s in vain: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
