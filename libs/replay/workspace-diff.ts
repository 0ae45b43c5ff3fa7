import {
  clientIdOf,
  type ConsumerClientState,
  DomainError,
  type SubscriptionId,
  type SubscriptionState,
  type WorkspaceId,
} from '#domain';
import type { BookOfRecord } from '#event-log';
import type { Position } from '#events';
import type { HistoryDocument, ServedReadModel } from '#read-models';
import { type Damage, unlessDamaged } from './damage.js';

/** Number of events that are read at once. */
const PIECE = 200;
/** Number of events that one page looks at. */
const MAX_LOOKED_AT = 2_000;
/** Behind every document that has the same position: the ids of documents begin with letters. */
const BEHIND_ALL_IDS = '~';

export const CHANGES = [
  'CREATED',
  'RENAMED',
  'DESCRIBED',
  'CREDENTIAL_ADDED',
  'CREDENTIAL_CHANGED',
  'CREDENTIAL_ENDED',
  'ASSIGNED',
  'UNASSIGNED',
  'TOKENS_CHANGED',
  'REVOKED',
  'REGISTERED',
  'ENDED',
] as const;

/** One difference between two states of a client or a subscription. */
export interface Change {
  readonly change: (typeof CHANGES)[number];
  /** The generation of the credential, the id of the subscription, or the field of the description. */
  readonly of?: string;
  readonly before?: string;
  readonly after?: string;
}

/** What changed on one client or subscription. */
export interface ChangedStream {
  readonly stream: string;
  /** The position of its first event in the range. */
  readonly position: Position;
  /** Why its history can't be read. Then nothing is known of its revisions and changes. */
  readonly unreadable?: Damage;
  /** Its last revision before the range, if it existed, and its last one in the range. */
  readonly revisionBefore?: number;
  readonly revisionAfter?: number;
  /** Empty if later events undid what earlier ones had changed. */
  readonly changes: readonly Change[];
}

export interface DiffQuestion {
  readonly workspaceId: WorkspaceId;
  /** The state after the event at this position is compared with the state after the event at `to`. */
  readonly from: Position;
  readonly to: Position;
  /** The page begins after this position. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

type Histories = Pick<ServedReadModel<HistoryDocument>, 'find' | 'getAll'>;
type Book = Pick<BookOfRecord, 'log' | 'clients' | 'subscriptions'>;

/**
 * Returns what changed in a workspace between two positions: one entry for each client and subscription that has events
 * in between, in the order of the first of them. `histories` MUST contain all events up to `to`. A page looks at 2,000
 * events at most. Throws `DomainError` with code `invalid_range`, `ReadStoreUnavailable`, `LogUnavailable`.
 */
export async function diffOf(
  book: Book,
  histories: Histories,
  { workspaceId, from, to, after = from, limit }: DiffQuestion,
): Promise<{ readonly entries: readonly ChangedStream[]; readonly next?: Position }> {
  if (to < from) throw new DomainError('invalid', 'invalid_range', 'from must not be after to', 'from');
  const entries: ChangedStream[] = [];
  let place = after < from ? from : after;
  for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; lookedAt += PIECE) {
    const piece = await histories.find({
      equals: { workspaceId },
      sort: { field: 'positionKey', direction: 'asc' },
      after: { value: place, id: BEHIND_ALL_IDS },
      limit: PIECE,
    });
    const inRange = piece.filter(({ position }) => position <= to);
    const earlier = await histories.getAll(inRange.flatMap(({ id, doc }) => idBefore(id, doc)));
    for (const { id, doc, position } of inRange) {
      const [before] = idBefore(id, doc);
      const isFirst = before === undefined || (earlier.get(before)?.positionKey ?? '') <= from;
      if (isFirst && entries.length === limit) return { entries, next: place };
      if (isFirst) entries.push(await changesOf(book, doc.stream, position, { from, to }));
      place = position;
    }
    if (inRange.length < PIECE) return { entries };
  }
  return { entries, next: place };
}

/** Returns the id of the document of the stream's event before this one; `[]` if there is none. */
const idBefore = (id: string, { stream, revision }: HistoryDocument): string[] => {
  const digits = id.length - stream.length - 1;
  return revision === '0' ? [] : [`${stream}/${(BigInt(revision) - 1n).toString().padStart(digits, '0')}`];
};

async function changesOf(
  book: Book,
  stream: string,
  position: Position,
  { from, to }: { readonly from: Position; readonly to: Position },
): Promise<ChangedStream> {
  const [past, present] = [from, to].map((at) => ({ by: 'position', position: at }) as const);
  if (!past || !present) throw new Error('Two places are compared');
  const clientId = clientIdOf(stream);
  const { found, damage } = await unlessDamaged(book, stream, () =>
    clientId === undefined
      ? compare(book.subscriptions, subscriptionIdOf(stream), past, present, subscriptionChanges)
      : compare(book.clients, clientId, past, present, clientChanges),
  );
  return damage ? { stream, position, unreadable: damage, changes: [] } : { stream, position, ...found };
}

async function compare<Id, State>(
  executor: {
    asOf(
      id: Id,
      basis: { by: 'position'; position: Position },
    ): Promise<{ state: State; last: { revision: bigint } | undefined }>;
  },
  id: Id,
  past: { by: 'position'; position: Position },
  present: { by: 'position'; position: Position },
  changes: (before: State, after: State) => Change[],
) {
  const [before, after] = await Promise.all([executor.asOf(id, past), executor.asOf(id, present)]);
  return {
    ...(before.last && { revisionBefore: Number(before.last.revision) }),
    revisionAfter: Number(after.last?.revision ?? -1n),
    changes: changes(before.state, after.state),
  };
}

const SUBSCRIPTION_PREFIX = 'subscription-';
const subscriptionIdOf = (stream: string): SubscriptionId => stream.slice(SUBSCRIPTION_PREFIX.length);

function subscriptionChanges(before: SubscriptionState, after: SubscriptionState): Change[] {
  return [
    ...(before.status === 'UNREGISTERED' && after.status !== 'UNREGISTERED'
      ? [{ change: 'REGISTERED', after: after.endpointUri } as const]
      : []),
    ...(before.status !== 'ENDED' && after.status === 'ENDED'
      ? [{ change: 'ENDED', after: after.reason } as const]
      : []),
  ];
}

/** Returns the differences between two states of one client. */
export function clientChanges(before: ConsumerClientState, after: ConsumerClientState): Change[] {
  if (after.status === 'NONE') return [];
  const [was, is] = [activeParts(before), activeParts(after)];
  const old = before.status === 'NONE' ? undefined : before;
  return [
    ...(old ? [] : [{ change: 'CREATED', after: after.name } as const]),
    ...(old && old.name !== after.name ? [{ change: 'RENAMED', before: old.name, after: after.name } as const] : []),
    ...(old ? differences('DESCRIBED', describedParts(old), describedParts(after)) : []),
    ...differences('CREDENTIAL_CHANGED', was.credentials, is.credentials, 'CREDENTIAL_ADDED', 'CREDENTIAL_ENDED'),
    ...differences('ASSIGNED', was.subscriptions, is.subscriptions, 'ASSIGNED', 'UNASSIGNED'),
    ...(!old || was.tokens === is.tokens || after.status === 'REVOKED' ? [] : [{ change: 'TOKENS_CHANGED' } as const]),
    ...(old?.status !== 'REVOKED' && after.status === 'REVOKED'
      ? [{ change: 'REVOKED', after: after.reason } as const]
      : []),
  ];
}

function differences(
  changed: Change['change'],
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  added = changed,
  ended = changed,
): Change[] {
  const found: Change[] = [];
  for (const of of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(of), after.get(of)];
    if (was === is) continue;
    const change = was === undefined ? added : is === undefined ? ended : changed;
    found.push({ change, of, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) });
  }
  return found;
}

function activeParts(client: ConsumerClientState) {
  const isActive = client.status === 'ACTIVE';
  return {
    credentials: new Map(
      isActive
        ? client.credentials.map(({ generation, createdAt, expiresAt }) => [
            String(generation),
            expiresAt === undefined ? `from ${createdAt}` : `from ${createdAt} to ${expiresAt}`,
          ])
        : [],
    ),
    subscriptions: new Map(
      isActive ? [...client.subscriptions.values()].map((each) => [each.subscriptionId, each.endpointUri]) : [],
    ),
    tokens: isActive ? JSON.stringify(client.tokens) : '',
  };
}

function describedParts({
  description,
  labels = {},
  externalId,
}: Exclude<ConsumerClientState, { status: 'NONE' }>): ReadonlyMap<string, string> {
  return new Map([
    ...(description === undefined ? [] : [['description', description] as const]),
    ...(externalId === undefined ? [] : [['externalId', externalId] as const]),
    ...Object.entries(labels).map(([key, value]) => [`labels.${key}`, value] as const),
  ]);
}
