import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionError } from 'fastify';
import type { BeforeFastify, UnreadableAnswer } from './before-fastify.js';
import type { Problem } from './problem.js';
import { httpRefusal } from './problem-filter.js';
import { originForm } from './request-form.js';
import { requestIdOf } from './request-id.js';

/**
 * Answers input that Node could not parse as HTTP. Such input has no request object, so we write the answer to the
 * socket. We also destroy the socket afterwards: Node no longer controls this socket, and a caller could keep it open
 * for ever.
 */
export function refuseUnreadable(error: ConnectionError, socket: Socket, beforeFastify: BeforeFastify): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const problem = httpRefusal({ HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code] ?? 400);
  const target = targetOf(error.rawPacket);
  const answer = target === undefined ? undefined : beforeFastify.unreadableAnswer(target, problem);
  if (answer) answerOnSocket(answer, '', socket);
  else refuseOnSocket(problem, socket);
}

const REQUEST_LINE = /^[A-Z-]+ (\S+) HTTP\/1\.[01]\r?\n/;

/** The request target in `originForm`, if the bytes begin with a request line. */
function targetOf(bytes: unknown): string | undefined {
  const [, target] = REQUEST_LINE.exec(Buffer.isBuffer(bytes) ? bytes.toString('latin1') : '') ?? [];
  return target === undefined ? undefined : originForm(target);
}

/** Answers with the problem, on a socket that Node does not control any more. */
export function refuseOnSocket(problem: Problem, socket: Duplex): void {
  const requestId = requestIdOf([]);
  const headers = ['Content-Type', 'application/problem+json', 'X-Request-Id', requestId];
  answerOnSocket({ status: problem.status, headers }, JSON.stringify(problem.toBody(requestId)), socket);
}

function answerOnSocket({ status, headers }: UnreadableAnswer, body: string, socket: Duplex): void {
  const all = [...headers, 'Content-Length', String(Buffer.byteLength(body)), 'Connection', 'close'];
  const lines = all.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${all[index + 1] ?? ''}`] : []));
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('\r\n')}\r\n\r\n${body}`, () =>
    socket.destroy(),
  );
}
