import {
  type AuthenticationType,
  type ClientId,
  clientIdOf,
  consumerClient,
  type EndpointUri,
  endpointUri,
  goodCredentials,
  type Instant,
  subscription,
  type SubscriptionId,
  subscriptionNotFound,
  type SubscriptionState,
  type WorkspaceId,
} from '#domain';
import { type BookOfRecord, readQuarantinesAsOf } from '#event-log';
import type { Position } from '#events';
import type { HistoryDocument, ServedReadModel } from '#read-models';
import { type Damage, type Readable, unlessDamaged } from './damage.js';
import { loginAtEndpoint } from './login-answer.js';
import type { PastMoment } from './past-moment.js';

/** Number of assignments that are looked at together. */
const PIECE = 50;
/** Number of assignments that one page looks at. */
const MAX_LOOKED_AT = 500;
/** Behind every document that has the same position: the ids of documents begin with letters. */
const BEHIND_ALL_IDS = '~';

export interface CouldCallQuestion {
  readonly workspaceId: WorkspaceId;
  readonly endpointUri: EndpointUri;
  readonly moment: PastMoment;
  /** The page begins after this position. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

/** A client that could have called the endpoint. */
export interface Caller {
  readonly clientId: ClientId;
  readonly name: string;
  readonly authenticationType: AuthenticationType;
  readonly assignedAt: Instant;
  /** The generations of its secret that were good. */
  readonly generations: readonly number[];
}

export interface CouldCall {
  readonly subscriptionId: SubscriptionId;
  readonly status: Exclude<SubscriptionState['status'], 'UNREGISTERED'>;
  readonly callers: readonly Caller[];
  /** Clients that were assigned to the endpoint at some time, but whose history can't be read. */
  readonly unreadable: readonly { readonly clientId: ClientId; readonly reason: Damage }[];
  readonly next?: Position;
}

type Book = Pick<BookOfRecord, 'log' | 'clients' | 'subscriptions' | 'endpointUris'>;

/**
 * Returns the clients that could have logged in at the endpoint at a moment, in the order of their assignments. The
 * history finds the assignments, and each client's own stream decides. `histories` MUST contain all assignments up to
 * then. Throws `DomainError` with code `subscription_not_found`, `ReadStoreUnavailable`, `LogUnavailable`,
 * `HistoryMissing`.
 */
export async function couldCall(
  book: Book,
  histories: Pick<ServedReadModel<HistoryDocument>, 'find'>,
  { workspaceId, endpointUri: uri, moment: { basis, at }, after, limit }: CouldCallQuestion,
): Promise<CouldCall> {
  const { state: claim } = await book.endpointUris.asOf(uri, basis);
  if (claim.status === 'FREE') throw subscriptionNotFound('endpointUri');
  const { subscriptionId } = claim;
  const { state: owner } = await book.subscriptions.asOf(subscriptionId, basis);
  if (owner.status === 'UNREGISTERED' || owner.workspaceId !== workspaceId || owner.endpointUri !== uri) {
    throw subscriptionNotFound('endpointUri');
  }
  const quarantines = await readQuarantinesAsOf(book.log, basis);
  const isQuarantined = [subscription.stream(subscriptionId), endpointUri.stream(uri)].some((stream) =>
    quarantines.has(stream),
  );
  const endpoint = { subscriptionId, subscription: owner, isQuarantined };

  /** Returns the client of an assignment if this assignment was in force, and the client could have called. */
  const callerOf = async (clientId: ClientId, { data }: HistoryDocument): Promise<Caller | undefined> => {
    const { state } = await book.clients.asOf(clientId, basis);
    if (state.status !== 'ACTIVE') return undefined;
    const assignedAt = state.subscriptions.get(subscriptionId)?.assignedAt;
    if (assignedAt === undefined || assignedAt !== data.assignedAt) return undefined;
    const facts = { client: state, isQuarantined: quarantines.has(consumerClient.stream(clientId)) };
    if (!loginAtEndpoint(facts, endpoint, at).yes) return undefined;
    const { name, authenticationType } = state;
    const generations = goodCredentials(state, at).map(({ generation }) => generation);
    return { clientId, name, authenticationType, assignedAt, generations };
  };

  /** Does the same as `callerOf`, but tells of a client whose history can't be read. */
  const readable = async (document: HistoryDocument): Promise<Readable<Caller | undefined>> => {
    const clientId = clientIdOf(document.stream);
    if (clientId === undefined) return { found: undefined };
    const read = () => callerOf(clientId, document);
    const answer = await unlessDamaged(book, document.stream, read);
    if (answer.damage) unreadable.set(clientId, answer.damage);
    return answer;
  };

  const callers = new Map<ClientId, Caller>();
  const unreadable = new Map<ClientId, Damage>();
  const answer = (next?: Position): CouldCall => ({
    ...{ subscriptionId, status: owner.status, callers: [...callers.values()] },
    unreadable: [...unreadable].map(([clientId, reason]) => ({ clientId, reason })),
    ...(next !== undefined && { next }),
  });
  let place = after;
  for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; lookedAt += PIECE) {
    const piece = await histories.find({
      equals: { workspaceId, type: 'ConsumerClientAssignedToSubscription' },
      contains: { field: 'subscriptionIds', value: subscriptionId },
      sort: { field: 'positionKey', direction: 'asc' },
      ...(place !== undefined && { after: { value: place, id: BEHIND_ALL_IDS } }),
      limit: PIECE,
    });
    const found = await Promise.all(piece.map(({ doc }) => readable(doc)));
    for (const [index, { position }] of piece.entries()) {
      const caller = found[index]?.found;
      if (caller && callers.size === limit && place !== undefined) return answer(place);
      if (caller) callers.set(caller.clientId, caller);
      place = position;
    }
    if (piece.length < PIECE) return answer();
  }
  return answer(place);
}
