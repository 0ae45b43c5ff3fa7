import { setTimeout as delay } from 'node:timers/promises';
import type { WorkspaceId } from '#domain';
import { type EventMetadata, type JsonObject, type Position, type RecordedEvent, redact } from '#events';
import { asError } from '#read-models';
import { CommandFailed, ExitCode, notFound, usageError } from '../exit.js';

/** How often a request that was refused for the moment (429, 503) is sent, and how long each pause may be. */
const MAX_ATTEMPTS = 6;
const MAX_PAUSE_SECONDS = 60;
/** How long the service may take to begin an answer. */
const ANSWER_TIMEOUT_MS = 60_000;
/** The place before the first event. */
export const START: Position = '0'.repeat(20);
/** The largest page of a list. */
const PAGE = 200;

type Query = Readonly<Record<string, string | number | undefined>>;

export interface ListPage<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

/** An event in the form that was hashed, as the routes of the history show it. */
export interface PlacedEvent {
  readonly position: Position;
  readonly stream: string;
  readonly event: EventMetadata & {
    readonly revision: number;
    readonly type: string;
    readonly eventId: string;
    readonly data: JsonObject;
  };
}

/** Returns an event of the log, without what is secret, in the form in which the routes of the history show it. */
export const placedEvent = (recorded: RecordedEvent): PlacedEvent => {
  const { position, stream, revision, eventId, type, data, metadata } = redact(recorded);
  return { position, stream, event: { revision: Number(revision), type, eventId, data, ...metadata } };
};

/** Returns the event that the service shows, in the form that `verifyChain` takes. */
export function recordedEventOf({ position, stream, event }: PlacedEvent): RecordedEvent {
  const { revision, eventId, type, data, ...metadata } = event;
  return { stream, position, revision: BigInt(revision), eventId, type, data, metadata };
}

/** A service that answers an auditor over HTTP. */
export class AuditedService {
  /** `address` has no slash at its end. `workspaceId`: only for tokens that may act for any workspace. */
  constructor(
    private readonly address: string,
    private readonly token: string,
    private readonly workspaceId: WorkspaceId | undefined,
  ) {}

  /**
   * Resolves to the answer to a request that the service accepts, sooner or later. Throws `CommandFailed` with the exit
   * code that fits the refusal.
   */
  async ask(path: string, query: Query = {}, { method = 'GET', signal }: RequestInit = {}): Promise<Response> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) parameters.append(name, String(value));
    }
    const search = parameters.size === 0 ? '' : `?${parameters.toString()}`;
    for (let attempt = 1; ; attempt++) {
      const answer = await this.send(`${this.address}${path}${search}`, method, signal ?? undefined);
      if (answer.ok) return answer;
      const pause = Number(answer.headers.get('retry-after') ?? NaN);
      const isForNow = [409, 429, 503].includes(answer.status) && pause <= MAX_PAUSE_SECONDS;
      if (!isForNow || attempt === MAX_ATTEMPTS) throw await failureOf(answer);
      await answer.body?.cancel();
      await delay(pause * 1000, undefined, signal ? { signal } : {});
    }
  }

  async json<Body>(path: string, query?: Query, init?: RequestInit): Promise<Body> {
    return (await (await this.ask(path, query, init)).json()) as Body;
  }

  /** Yields the pages of a list. `next`: what the page's cursor needs beside it. */
  async *pages<Page extends ListPage<unknown>>(
    path: string,
    query: Query,
    { signal, beside = () => ({}) }: { readonly signal?: AbortSignal; readonly beside?: (page: Page) => Query } = {},
  ): AsyncGenerator<Page> {
    for (let asked: Query | undefined = { limit: PAGE, ...query }; asked !== undefined;) {
      const page: Page = await this.json<Page>(path, asked, signal ? { signal } : {});
      yield page;
      asked = page.nextCursor === undefined ? undefined : { ...asked, ...beside(page), cursor: page.nextCursor };
    }
  }

  /** Resolves to the end of the log (or to `to`), as soon as the history has all events up to there. */
  async end(to?: Position): Promise<Position> {
    return (await this.json<{ readonly to: Position }>('/v1/diff', { from: START, to, limit: 1 })).to;
  }

  /** Yields the pages of the history of the workspace, from the first event after `cursor`. */
  events(
    query: { readonly client?: string | undefined; readonly cursor?: Position | undefined },
    signal?: AbortSignal,
  ): AsyncGenerator<ListPage<PlacedEvent>> {
    return this.pages('/v1/history', query, signal ? { signal } : {});
  }

  private async send(url: string, method: string, signal: AbortSignal | undefined): Promise<Response> {
    const timeout = new AbortController();
    const timer = setTimeout(() => {
      timeout.abort(new Error('no answer'));
    }, ANSWER_TIMEOUT_MS);
    try {
      return await fetch(url, {
        method,
        // A redirect would send the token to another address.
        redirect: 'error',
        signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(this.workspaceId !== undefined && { 'x-workspace-id': this.workspaceId }),
        },
      });
    } catch (error) {
      signal?.throwIfAborted();
      const { message, cause } = asError(error);
      const why = cause instanceof Error && cause.message !== '' ? cause.message : message;
      throw new CommandFailed(ExitCode.UNAVAILABLE, `${this.address} does not answer: ${why}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Returns the error for a refusal, in the service's own words. */
async function failureOf(answer: Response): Promise<CommandFailed> {
  const text = await answer.text();
  const { code, detail } = problemIn(text) ?? { code: String(answer.status), detail: answer.statusText };
  const message = `The service refuses: ${detail} (${code})`;
  if (answer.status === 404) return notFound(message);
  if (answer.status === 400) return usageError(message);
  if (answer.status === 401) return new CommandFailed(ExitCode.CONFIGURATION, message);
  return new CommandFailed(
    answer.status >= 500 || answer.status === 429 ? ExitCode.UNAVAILABLE : ExitCode.FAILED,
    message,
  );
}

function problemIn(text: string): { readonly code: string; readonly detail: string } | undefined {
  try {
    const { code, detail } = JSON.parse(text) as { readonly code?: unknown; readonly detail?: unknown };
    return typeof code === 'string' && typeof detail === 'string' ? { code, detail } : undefined;
  } catch {
    return undefined;
  }
}
