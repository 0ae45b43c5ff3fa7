import {
  type ActiveClient,
  type Assignment,
  type AuthenticationType,
  type ClientId,
  clientNotFound,
  consumerClient,
  type ConsumerClientState,
  type Credential,
  endpointUri,
  type Instant,
  isGoodGeneration,
  type Labels,
  type StaticTokenPeriod,
  subscription,
  type SubscriptionState,
  usableStaticToken,
  type WorkspaceId,
} from '#domain';
import type { Basis, BookOfRecord, EventPlace, PastState, QuarantinesInForce } from '#event-log';
import type { Position } from '#events';
import { type LoginAnswer, loginAnswer, loginAtEndpoint, type LoginFacts, loginOf } from './login-answer.js';
import {
  basisOfOthers,
  inTheFuture,
  lastEventAt,
  laterOf,
  notYet,
  type PastMoment,
  pastMomentOf,
  presentOf,
  requirePast,
} from './past-moment.js';
import { SharedFacts } from './shared-facts.js';

/** Number of streams of subscriptions that are read at once. */
const READS_AT_ONCE = 50;

/** Which past an answer shows. */
export interface ShownBasis {
  readonly by: Basis['by'];
  /** The moment at which everything that depends on the clock was judged. */
  readonly at: Instant;
  /** The client's last event in the answer. */
  readonly revision: number;
  /** The position that was asked for, or that of the client's last event in the answer. */
  readonly position: Position;
}

/** Who a client was, apart from its credentials and subscriptions. */
export interface IdentityAsOf {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
  readonly name: string;
  readonly description?: string;
  /** In the order of their keys. */
  readonly labels: Labels;
  readonly externalId?: string;
  readonly authenticationType: AuthenticationType;
  readonly status: 'ACTIVE' | 'REVOKED';
  readonly createdAt: Instant;
  readonly revokedAt?: Instant;
  readonly revocationReason?: string;
  readonly revision: number;
}

type ExistingClientState = Exclude<ConsumerClientState, { status: 'NONE' }>;

/** A generation of a client's secret, without its verifier. */
export interface CredentialAsOf extends Omit<Credential, 'verifier'> {
  readonly wouldLogIn: LoginAnswer;
  /** The static tokens of this generation that were good. `tokenId` is the claim `jti`. */
  readonly staticTokens: readonly (Pick<StaticTokenPeriod, 'subscriptionId' | 'issuedAt' | 'expiresAt'> & {
    readonly tokenId: string;
  })[];
}

export interface AssignmentAsOf extends Assignment {
  /** `UNREADABLE`: the history of the subscription can't be read. */
  readonly status: SubscriptionState['status'] | 'UNREADABLE';
  readonly endedAt?: Instant;
  /** What a login at the endpoint of the subscription would have been answered. */
  readonly wouldLogIn: LoginAnswer;
}

/** A client as it was, and what its logins would have been answered. Contains no verifier. */
export interface ClientAsOf {
  readonly basis: ShownBasis;
  readonly client: IdentityAsOf;
  /** The newest generation, and an earlier one in its overlap. Empty after the revocation. */
  readonly credentials: readonly CredentialAsOf[];
  /** In the order of assignment. Empty after the revocation. */
  readonly subscriptions: readonly AssignmentAsOf[];
  /** What a login at no particular endpoint would have been answered. */
  readonly wouldLogIn: LoginAnswer;
}

type Book = Pick<BookOfRecord, 'log' | 'clients' | 'subscriptions' | 'signingKeys'>;

/**
 * Returns a client of the workspace as it was, by strong reads of the log. Without `basis`: as it is now, which includes
 * events that the clock of another process has dated in our future. Throws `DomainError` with codes `client_not_found`,
 * `not_yet` and `in_the_future`, `LogUnavailable`, `HistoryMissing`.
 */
export async function clientAsOf(
  book: Book,
  { workspaceId, clientId, basis: asked, judgedAt, now }: ClientAsOfQuestion,
): Promise<ClientAsOf> {
  if (judgedAt !== undefined) requirePast(judgedAt, now);
  const { basis, at, placed } = await momentOf(book, asked, judgedAt, now);
  const { state, last } = await book.clients.asOf(clientId, basis);
  if (state.status === 'NONE' || last === undefined) throw await absence(book, workspaceId, clientId);
  if (state.workspaceId !== workspaceId) throw clientNotFound();
  if (basis.by === 'revision' && last.revision < basis.revision) throw inTheFuture('revision');
  const facts = new SharedFacts(book, basisOfOthers(basis, last));
  // A client's last event may be dated by a clock that was ahead. Nothing is judged before it.
  return shown({ state, last }, { basis, at: at ?? laterOf(last.occurredAt, placed) }, facts);
}

/** Returns the basis that is meant, and if it names a moment, that moment. `placed`: the time of the event at a place. */
async function momentOf(book: Book, asked: Basis | undefined, judgedAt: Instant | undefined, now: Instant) {
  if (asked?.by === 'time') return { ...(await pastMomentOf(book, { at: asked.at, now })), placed: undefined };
  if (asked === undefined) return { basis: await presentOf(book), at: judgedAt ?? now, placed: undefined };
  const placed = asked.by === 'position' ? await lastEventAt(book, asked.position) : undefined;
  return { basis: asked, at: judgedAt, placed: placed?.occurredAt };
}

/**
 * Returns what is to be shown of a client that was in this state, with facts as of the same past. Returns `undefined` if
 * the client did not exist yet. Throws `LogUnavailable`, `HistoryMissing`.
 */
export const clientInState = async (
  { state, last }: PastState<ConsumerClientState>,
  moment: PastMoment,
  facts: SharedFacts,
): Promise<ClientAsOf | undefined> =>
  state.status === 'NONE' || last === undefined ? undefined : shown({ state, last }, moment, facts);

async function shown(
  { state, last }: { readonly state: ExistingClientState; readonly last: EventPlace },
  { basis, at }: { readonly basis: Basis; readonly at: Instant },
  facts: SharedFacts,
): Promise<ClientAsOf> {
  const position = basis.by === 'position' ? basis.position : last.position;
  return {
    basis: { by: basis.by, at, revision: Number(last.revision), position },
    client: identityOf(state, Number(last.revision)),
    ...(await standing(state, facts, at)),
  };
}

export interface ClientAsOfQuestion {
  readonly workspaceId: WorkspaceId;
  readonly clientId: ClientId;
  readonly basis?: Basis | undefined;
  /** When everything that depends on the clock is judged. Default: the basis's own time. */
  readonly judgedAt?: Instant | undefined;
  readonly now: Instant;
}

/** Tells a client that did not exist yet from one that the workspace does not have. */
async function absence({ clients }: Pick<Book, 'clients'>, workspaceId: WorkspaceId, clientId: ClientId) {
  const { state } = await clients.asOf(clientId, { by: 'revision', revision: 0n });
  return state.status === 'NONE' || state.workspaceId !== workspaceId ? clientNotFound() : notYet();
}

function identityOf(client: ExistingClientState, revision: number): IdentityAsOf {
  const { clientId, workspaceId, name, description, labels = {}, externalId } = client;
  const { authenticationType, status, createdAt } = client;
  return {
    ...{ clientId, workspaceId, name },
    ...(description !== undefined && { description }),
    labels: Object.fromEntries(Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1))),
    ...(externalId !== undefined && { externalId }),
    ...{ authenticationType, status, createdAt },
    ...(client.status === 'REVOKED' && { revokedAt: client.revokedAt, revocationReason: client.reason }),
    revision,
  };
}

async function standing(client: ExistingClientState, shared: SharedFacts, at: Instant) {
  const quarantines = await shared.quarantines();
  const facts: LoginFacts = {
    client: client.status === 'ACTIVE' ? client : undefined,
    isQuarantined: quarantines.has(consumerClient.stream(client.clientId)),
  };
  const wouldLogIn = loginOf(facts, at);
  if (client.status === 'REVOKED') return { credentials: [], subscriptions: [], wouldLogIn };
  return {
    credentials: await credentialsOf(client, facts, shared, at),
    subscriptions: await assignmentsOf(client, facts, quarantines, shared, at),
    wouldLogIn,
  };
}

async function credentialsOf(
  client: ActiveClient,
  facts: LoginFacts,
  shared: SharedFacts,
  at: Instant,
): Promise<CredentialAsOf[]> {
  const { periods } = client.tokens;
  const refused = periods.length > 0 ? await shared.compromisedKids() : [];
  const newest = client.credentials.length - 1;
  return client.credentials
    .map(({ verifier: _, ...credential }) => {
      const wouldLogIn = loginOf(facts, at, credential.generation);
      const staticTokens = periods.filter(
        ({ generation, jti, kid }) =>
          wouldLogIn.yes &&
          generation === credential.generation &&
          !refused.includes(kid) &&
          usableStaticToken(client.tokens, jti, at) !== undefined,
      );
      return { ...credential, wouldLogIn, staticTokens: staticTokens.map(shownToken) };
    })
    .filter(({ generation }, index) => index === newest || isGoodGeneration(client, generation, at));
}

const shownToken = ({ jti, subscriptionId, issuedAt, expiresAt }: StaticTokenPeriod) => ({
  ...{ tokenId: jti, issuedAt, expiresAt },
  ...(subscriptionId !== undefined && { subscriptionId }),
});

async function assignmentsOf(
  client: ActiveClient,
  facts: LoginFacts,
  quarantines: QuarantinesInForce,
  shared: SharedFacts,
  at: Instant,
): Promise<AssignmentAsOf[]> {
  const judged = async (assignment: Assignment): Promise<AssignmentAsOf> => {
    const { subscriptionId } = assignment;
    const { found: state } = await shared.subscription(subscriptionId);
    const streams = [subscription.stream(subscriptionId), endpointUri.stream(assignment.endpointUri)];
    const isQuarantined = streams.some((stream) => quarantines.has(stream));
    if (!state) {
      const login = loginOf(facts, at);
      const unknown = loginAnswer(isQuarantined ? 'QUARANTINED' : 'UNREADABLE');
      return { ...assignment, status: 'UNREADABLE', wouldLogIn: login.yes === true ? unknown : login };
    }
    return {
      ...assignment,
      status: state.status,
      ...(state.status === 'ENDED' && { endedAt: state.endedAt }),
      wouldLogIn: loginAtEndpoint(facts, { subscriptionId, subscription: state, isQuarantined }, at),
    };
  };
  const assignments = [...client.subscriptions.values()];
  const found: AssignmentAsOf[] = [];
  for (let from = 0; from < assignments.length; from += READS_AT_ONCE) {
    found.push(...(await Promise.all(assignments.slice(from, from + READS_AT_ONCE).map(judged))));
  }
  return found;
}
