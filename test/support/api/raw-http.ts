import { connect, type Socket } from 'node:net';

/** Sends the bytes and then ends the connection's sending side. Resolves to everything that the server sends back. */
export const exchange = (url: string, bytes: string): Promise<string> =>
  received(url, (socket) => {
    socket.end(bytes);
  });

/**
 * Sends a request of exactly these head lines, and this body. Resolves to everything that the server sends until it
 * closes the connection, so the lines should include `Connection: close`.
 */
export const sendLines = (url: string, lines: readonly string[], body = ''): Promise<string> =>
  received(url, (socket) => {
    socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  });

const received = (url: string, send: (socket: Socket) => void): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    let answer = '';
    const socket = connect(Number(port), hostname)
      .on('data', (chunk: Buffer) => (answer += chunk.toString()))
      .on('close', () => {
        resolve(answer);
      })
      .on('error', reject);
    send(socket);
  });
