import { consumerClient } from '#domain';
import { type BookOfRecord, LogUnavailable } from '#event-log';
import { asError, type ClientDocument, clients, type ReadStore } from '#read-models';

const PAGE = 200;

/** A client whose revocation the log has lost, or whose stream can't be read. */
export interface LostRevocation {
  readonly client: ClientDocument;
  /** Why the client's stream can't be read. */
  readonly unreadable?: Error;
}

/**
 * Yields the clients that the read store shows as revoked and the log does not, because the log was restored to an older
 * state: their credentials are good again. Also yields those whose streams can't be read, which nobody can log in with.
 * The read store knows them until its build is replaced. Throws `LogUnavailable`, `ReadStoreUnavailable`.
 */
export async function* lostRevocations(
  { log }: Pick<BookOfRecord, 'log'>,
  store: ReadStore,
): AsyncGenerator<LostRevocation> {
  const build = await store.served(clients.name, clients.version);
  if (build === undefined) return;
  let afterId: string | undefined;
  do {
    const page = await store.scan<ClientDocument>(build, afterId, PAGE);
    const revoked = page.map(({ doc }) => doc).filter(({ status }) => status === 'REVOKED');
    const found = await Promise.all(revoked.map((client) => lostOf(log, client)));
    yield* found.filter((each) => each !== undefined);
    afterId = page.length === PAGE ? page.at(-1)?.id : undefined;
  } while (afterId !== undefined);
}

/** Nothing follows a revocation in a client's stream. */
async function lostOf(log: BookOfRecord['log'], client: ClientDocument): Promise<LostRevocation | undefined> {
  const read = { direction: 'backwards', limit: 1, consistency: 'strong' } as const;
  try {
    const [last] = await log.readStream(consumerClient.stream(client.clientId), read);
    return last !== undefined && last.type !== 'ConsumerClientRevoked' ? { client } : undefined;
  } catch (error) {
    if (error instanceof LogUnavailable) throw error;
    return { client, unreadable: asError(error) };
  }
}
