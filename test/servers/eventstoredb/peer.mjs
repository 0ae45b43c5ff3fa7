import { Buffer } from 'node:buffer';
import { connect } from 'node:http2';
import { framed, unframed } from './grpc.mjs';

const VERBS = ['vote', 'replicate', 'truncate', 'forward'];
const pathOf = (verb) => `/stand-in.Nodes/${verb}`;

/**
 * The service by which the nodes talk to each other. The service's messages are JSON in gRPC frames, and the service
 * uses the port that clients use.
 */
export const NodesService = Object.fromEntries(
  VERBS.map((verb) => [
    verb,
    {
      path: pathOf(verb),
      requestDeserialize: (bytes) => JSON.parse(bytes.toString()),
      responseSerialize: (answer) => Buffer.from(JSON.stringify(answer)),
    },
  ]),
);

/** Another node of the cluster, as this node reaches it. */
export class Peer {
  isCutOff = false;

  constructor({ host, port }) {
    this.host = host;
    this.port = port;
  }

  /** Calls the node's method `verb`. Rejects if the node can't be reached or doesn't reply within `timeoutMs`. */
  ask(verb, question, { timeoutMs } = {}) {
    if (this.isCutOff) return Promise.reject(new Error(`${this.port} is out of reach`));
    return new Promise((resolve, reject) => {
      const stream = this.connection().request({ ':method': 'POST', ':path': pathOf(verb) });
      const chunks = [];
      stream.on('data', (chunk) => chunks.push(chunk));
      stream.once('error', reject);
      stream.once('close', () => {
        const answer = unframed(Buffer.concat(chunks));
        if (answer) resolve(JSON.parse(answer.toString()));
        else reject(new Error(`${this.port} gave no answer`));
      });
      if (timeoutMs !== undefined) stream.setTimeout(timeoutMs, () => stream.close());
      stream.end(framed(Buffer.from(JSON.stringify(question))));
    });
  }

  connection() {
    if (!this.session || this.session.destroyed || this.session.closed) {
      this.session = connect(`http://${this.host}:${this.port}`);
      this.session.on('error', () => undefined);
    }
    return this.session;
  }
}
