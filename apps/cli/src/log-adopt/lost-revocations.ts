import { consumerClient } from '#domain';
import type { BookOfRecord } from '#event-log';
import { type ClientDocument, clients, type ReadStore } from '#read-models';

const PAGE = 200;

/**
 * Yields the clients that the read store shows as revoked and the log does not, because the log was restored to an older
 * state: their credentials are good again. The read store knows them until its build is replaced. Throws
 * `LogUnavailable`, `HistoryMissing`, `ReadStoreUnavailable`.
 */
export async function* lostRevocations(
  { log }: Pick<BookOfRecord, 'log'>,
  store: ReadStore,
): AsyncGenerator<ClientDocument> {
  const build = await store.served(clients.name, clients.version);
  if (build === undefined) return;
  let afterId: string | undefined;
  do {
    const page = await store.scan<ClientDocument>(build, afterId, PAGE);
    const revoked = page.map(({ doc }) => doc).filter(({ status }) => status === 'REVOKED');
    const isLost = await Promise.all(revoked.map(({ clientId }) => isActive(log, clientId)));
    yield* revoked.filter((_, index) => isLost[index]);
    afterId = page.length === PAGE ? page.at(-1)?.id : undefined;
  } while (afterId !== undefined);
}

/** Nothing follows a revocation in a client's stream. */
async function isActive(log: BookOfRecord['log'], clientId: ClientDocument['clientId']): Promise<boolean> {
  const read = { direction: 'backwards', limit: 1, consistency: 'strong' } as const;
  const [last] = await log.readStream(consumerClient.stream(clientId), read);
  return last !== undefined && last.type !== 'ConsumerClientRevoked';
}
