import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Problem } from './problem.js';
import { headProblem, originForm } from './request-form.js';
import type { RequestObserver } from './request-observer.js';

/**
 * Answers a request before Fastify sees the request. Returns false, and leaves the response untouched, if the request
 * is for Fastify. `problem` says what is wrong with the request's head, if anything is.
 */
export type EarlyHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem | undefined,
) => boolean;

/** A whole answer without a body. */
export interface UnreadableAnswer {
  readonly status: number;
  /** Name, value, name, value, …. */
  readonly headers: readonly string[];
}

/**
 * Answers input that Node could not parse as HTTP, if its request line could be read. `target`: the request target.
 * Returns `undefined` if the answer is to be that of all other routes.
 */
export type UnreadableHandler = (target: string, problem: Problem) => UnreadableAnswer | undefined;

const LATEST = Symbol('the latest request of a connection');
type HttpSocket = Socket & { [LATEST]?: IncomingMessage };

/**
 * Lets modules answer requests before Fastify and Nest see the requests. No hook, filter or plugin sees such an answer.
 * The handler MUST therefore do five things itself: refuse a request that has a `problem`, send `headers`, send the
 * request's id (`requestIdOf`), call `observe` after the answer, and end the connection if `isClosing` and
 * `endsConnection` are true.
 */
export class BeforeFastify {
  private readonly handlers: EarlyHandler[] = [];
  private readonly unreadable: UnreadableHandler[] = [];
  private readonly problems = new WeakMap<IncomingMessage, Problem>();
  private readonly held: [RequestListener, IncomingMessage, ServerResponse][] = [];
  private isHolding = false;
  private released: IncomingMessage | undefined;
  /** Whether `stopping` is aborted. Each request asks for it, and a field is faster than the signal. */
  isClosing = false;
  private readonly stop = new AbortController();
  /** Aborts when the app begins to stop: answers that would never end by themselves MUST end then. */
  readonly stopping = this.stop.signal;

  constructor(
    readonly headers: Readonly<Record<string, string>>,
    readonly observe: RequestObserver,
  ) {}

  /**
   * While the app stops: whether the answer to this request is to end its connection. Requests that were sent without
   * waiting for this answer (pipelined) are answered, too.
   */
  endsConnection(request: IncomingMessage): boolean {
    return (request.socket as HttpSocket)[LATEST] === request;
  }

  /** Adds a handler. For each request, the handlers are called in the order in which they were added. */
  add(handler: EarlyHandler): void {
    this.handlers.push(handler);
  }

  /** Adds a handler of unreadable requests. The first answer counts. */
  addUnreadable(handler: UnreadableHandler): void {
    this.unreadable.push(handler);
  }

  /** The answer to a request that Node could not parse, or `undefined` if no module has one of its own. */
  unreadableAnswer(target: string, problem: Problem): UnreadableAnswer | undefined {
    for (const handler of this.unreadable) {
      const answer = handler(target, problem);
      if (answer) return answer;
    }
    return undefined;
  }

  /** What is wrong with the head of a request that has come to Fastify, if anything is. */
  problemOf(request: IncomingMessage): Problem | undefined {
    return this.problems.get(request);
  }

  /**
   * Offers each request to the handlers, with its target in `originForm`. A request that no handler answers goes to
   * `next`.
   */
  listener(next: RequestListener): RequestListener {
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      if (this.isClosing && !this.admits(request, response, listener)) return;
      if (!this.isClosing) (request.socket as HttpSocket)[LATEST] = request;
      request.url = originForm(request.url ?? '');
      const problem = headProblem(request);
      for (const handler of this.handlers) if (handler(request, response, problem)) return;
      if (problem) this.problems.set(request, problem);
      next(request, response);
    };
    return listener;
  }

  /** Called when the app begins to stop. */
  beginToClose(): void {
    this.isClosing = true;
    this.stop.abort();
  }

  /** While the app stops: leaves the requests that arrive from now on unanswered, until `release`. */
  hold(): void {
    this.isHolding = true;
  }

  /** Answers the requests that were held, and those that arrive from now on. */
  release(): void {
    this.isHolding = false;
    this.answerHeld();
  }

  /** While the app stops: whether a request is to be answered now. If it is not, `listener` may get it again. */
  private admits(request: IncomingMessage, response: ServerResponse, listener: RequestListener): boolean {
    if (request === this.released) return true;
    const socket: HttpSocket = request.socket;
    socket[LATEST] = request;
    // If an answer has ended this connection, nobody would learn what became of the request.
    if (socket.writableEnded) return false;
    // Only after this turn of the event loop is it known which request is the latest one.
    const isFirst = this.held.push([listener, request, response]) === 1;
    if (isFirst) {
      setImmediate(() => {
        if (!this.isHolding) this.answerHeld();
      });
    }
    return false;
  }

  private answerHeld(): void {
    for (const [listener, request, response] of this.held.splice(0)) {
      this.released = request;
      listener(request, response);
    }
  }
}
