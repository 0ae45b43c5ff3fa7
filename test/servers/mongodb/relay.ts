import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { BSON, type Document, MongoClient } from 'mongodb';
import { inDatabase } from './launch.js';

/**
 * Answers a command in the server's place, or returns `undefined` to pass the command on. The document is the command's
 * body (such as `{ insert: 'notes_v1_1', documents: [...] }`). Later commands of the same connection wait for a promise.
 */
export type Responder = (command: Document) => Document | undefined | Promise<Document | undefined>;

/** The operation codes of MongoDB's wire protocol (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/). */
const OpCode = { Reply: 1, Query: 2004, Message: 2013 } as const;
const HEADER_BYTES = 16;

/** The answer of a server that refuses a whole command. */
export const refusal = (code: number, rest: Document = {}): Document => ({ ok: 0, code, errmsg: 'refused', ...rest });

/**
 * A relay between the MongoDB driver and its server, without TLS. It records what the driver sends, and can answer
 * commands itself, so that a test sees a server that refuses or delays what this server would carry out.
 */
export class MongoRelay {
  private readonly chunks: Buffer[] = [];
  private readonly sockets = new Set<Socket>();
  private responder: Responder = () => undefined;
  /** The size, in bytes, of the largest message that the driver has sent since the last `forget`. */
  largestMessage = 0;

  private constructor(
    private readonly relay: Server,
    private readonly serverUrl: string,
    [host, port]: readonly [string, number],
  ) {
    relay.on('connection', (socket) => {
      const server = connect(port, host);
      for (const [each, other] of [
        [socket, server],
        [server, socket],
      ] as const) {
        this.sockets.add(each);
        each.on('error', () => undefined).on('close', () => (this.sockets.delete(each), other.destroy()));
      }
      void this.relayMessages(socket, server);
      server.pipe(socket);
    });
  }

  /** Starts a relay to the primary of the server at `url`. The relay listens on `port` (default: a free port). */
  static async start(url: string, port = 0): Promise<MongoRelay> {
    const server = await primaryOf(url);
    const relay = createServer().listen(port, '127.0.0.1');
    await once(relay, 'listening');
    return new MongoRelay(relay, url, server);
  }

  /** The server's URL with its credentials and options, but with the relay in the server's place. */
  get url(): string {
    return urlThrough(this.serverUrl, (this.relay.address() as AddressInfo).port);
  }

  /** From now on, asks `responder` about each command. Without one, passes all commands on. */
  answer(responder: Responder = () => undefined): void {
    this.responder = responder;
  }

  /** The bytes that the driver has sent since the last `forget`. */
  sent(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  forget(): void {
    this.chunks.length = 0;
    this.largestMessage = 0;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await once(this.relay.close(), 'close');
  }

  private async relayMessages(socket: Socket, server: Socket): Promise<void> {
    const received: Buffer[] = [];
    let missing = HEADER_BYTES;
    try {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        this.chunks.push(chunk);
        received.push(chunk);
        missing -= chunk.length;
        if (missing > 0) continue;
        let rest = Buffer.concat(received.splice(0));
        while (rest.length >= HEADER_BYTES && rest.length >= rest.readInt32LE(0)) {
          const message = rest.subarray(0, rest.readInt32LE(0));
          rest = rest.subarray(message.length);
          this.largestMessage = Math.max(this.largestMessage, message.length);
          const answer = await this.responder(commandOf(message));
          if (answer === undefined) server.write(message);
          else socket.write(messageOf(answer, message));
        }
        missing = (rest.length < HEADER_BYTES ? HEADER_BYTES : rest.readInt32LE(0)) - rest.length;
        received.push(rest);
      }
    } catch {
      // The connection has ended, or the responder has failed: then the driver sees a broken connection.
    }
    server.destroy();
    socket.destroy();
  }
}

/**
 * Returns the URL with the same credentials and options, but with the server at this port of 127.0.0.1. `database`: the
 * database to use, if it is another one than the URL's.
 */
export function urlThrough(url: string, port: number, database?: string): string {
  const [, credentials = '', path = '/', query = ''] =
    /^mongodb:\/\/([^@/]*@)?[^/?]+(\/[^?]*)?(?:\?(.*))?$/.exec(
      database === undefined ? url : inDatabase(url, database),
    ) ?? [];
  const options = new URLSearchParams(query);
  options.delete('replicaSet');
  options.set('directConnection', 'true');
  return `mongodb://${credentials}127.0.0.1:${port}${path}?${options.toString()}`;
}

async function primaryOf(url: string): Promise<[host: string, port: number]> {
  const client = new MongoClient(url);
  try {
    // mongo-java-server does not know the newer name `hello`.
    const { primary } = await client.db('admin').command({ isMaster: 1 });
    const [first] = client.options.hosts;
    const address = (primary as string | undefined) ?? first?.toString() ?? '';
    const { hostname, port } = new URL(`mongodb://${address}`);
    return [hostname.replace(/^\[|\]$/g, ''), Number(port || 27_017)];
  } finally {
    await client.close();
  }
}

/** Returns the command of a message, together with the documents that the driver sends behind it (`documents`, …). */
function commandOf(message: Buffer): Document {
  let at = HEADER_BYTES + 4;
  const documentAt = (offset: number): Document => {
    at = offset + message.readInt32LE(offset);
    return BSON.deserialize(message.subarray(offset, at));
  };
  const stringAt = (offset: number): string => {
    const end = message.indexOf(0, offset);
    at = end + 1;
    return message.toString('utf8', offset, end);
  };
  if (message.readInt32LE(12) === OpCode.Query) {
    stringAt(at);
    return documentAt(at + 8);
  }
  const command: Document = {};
  while (at < message.length) {
    const kind = message[at];
    if (kind === 0) Object.assign(command, documentAt(at + 1));
    else {
      const end = at + 1 + message.readInt32LE(at + 1);
      const field = stringAt(at + 5);
      const documents: Document[] = [];
      while (at < end) documents.push(documentAt(at));
      command[field] = documents;
    }
  }
  return command;
}

/** Returns the message that answers `request` with this document. */
function messageOf(answer: Document, request: Buffer): Buffer {
  const body = BSON.serialize(answer);
  const isQuery = request.readInt32LE(12) === OpCode.Query;
  // OP_REPLY: flags, the cursor's id, its place, and the number of documents. OP_MSG: flags, and the section's kind.
  const lead = Buffer.alloc(isQuery ? 20 : 5);
  if (isQuery) lead.writeInt32LE(1, 16);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeInt32LE(HEADER_BYTES + lead.length + body.length, 0);
  header.writeInt32LE(request.readInt32LE(4), 8);
  header.writeInt32LE(isQuery ? OpCode.Reply : OpCode.Message, 12);
  return Buffer.concat([header, lead, body]);
}
