import {
  type ClientId,
  consumerClient,
  DomainError,
  type Instant,
  type SubscriptionId,
  type WorkspaceId,
} from '#domain';
import type { Position } from '#events';
import { dayOf, type HistoryDocument, type PageQuery, type ServedReadModel, type StoredDocument } from '#read-models';

type Histories = Pick<ServedReadModel<HistoryDocument>, 'find'>;
type Entry = StoredDocument<HistoryDocument>;

/** Number of events that are read at once. */
const PIECE = 200;
/** Number of events that one page looks at, whether they match or not. */
const MAX_LOOKED_AT = 2_000;
/** Number of days whose events can be asked for by time. */
export const MAX_DAYS = 366;
const DAY_MS = 86_400_000;
/** Number of lists that are read at once. */
const READS_AT_ONCE = 50;

/** Behind every document that has the same position: the ids of documents begin with letters. */
const BEHIND_ALL_IDS = '~';

export interface HistoryFilter {
  readonly workspaceId: WorkspaceId;
  readonly clientId?: ClientId | undefined;
  readonly subscriptionId?: SubscriptionId | undefined;
  readonly stream?: string | undefined;
  readonly type?: string | undefined;
  /** Who acted: the subject of the actor. */
  readonly actor?: string | undefined;
  /** The events that occurred from this moment on, and before `to`. MUST NOT be more than 366 days apart. */
  readonly from?: Instant | undefined;
  readonly to?: Instant | undefined;
}

export interface HistoryQuestion extends HistoryFilter {
  /** The page begins after this position. */
  readonly after?: Position | undefined;
  /** With `from` and `to`: the position up to which they reach, as the page before has found it. */
  readonly through?: Position | undefined;
  readonly limit: number;
}

export interface FoundEvents {
  readonly events: readonly Entry[];
  /** The position up to which the log was looked through. Absent if there is nothing more. */
  readonly next?: Position;
  /** With `next` and a range of times: the position up to which the range reaches. */
  readonly through?: Position;
}

/**
 * Returns the events of a workspace that match, in the order of the log. A page looks at 2,000 events at most, along the
 * index of the narrowest filter, so it may contain few events, or none, although more follow: `next` says where to go
 * on. A range of times is looked up in the index of days once: the pages after the first get its end as `through`. So
 * what is written meanwhile is not in them. Throws `DomainError` with code `range_too_long`, `ReadStoreUnavailable`.
 */
export async function findEvents(histories: Histories, question: HistoryQuestion): Promise<FoundEvents> {
  const { after, limit } = question;
  const list = listFor(question);
  const bounds = await boundsFor(histories, question);
  if (bounds === 'empty') return { events: [] };
  const goingOn = (events: readonly Entry[], next: Position): FoundEvents => ({
    ...{ events, next },
    ...(bounds && { through: bounds.last }),
  });
  const events: Entry[] = [];
  let place = bounds && (after === undefined || after < bounds.before) ? bounds.before : after;
  for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT; lookedAt += PIECE) {
    const piece = await histories.find({
      ...list,
      sort: { field: 'positionKey', direction: 'asc' },
      ...(place !== undefined && { after: { value: place, id: BEHIND_ALL_IDS } }),
      limit: PIECE,
    });
    // All events of a stream belong to one workspace. Nothing is said of another workspace's, not even their number.
    if (list.equals?.stream !== undefined && piece[0]?.doc.workspaceId !== question.workspaceId) return { events };
    for (const [index, entry] of piece.entries()) {
      if (bounds && bounds.last < entry.position) return { events };
      place = entry.position;
      if (!matches(question, entry)) continue;
      events.push(entry);
      if (events.length < limit) continue;
      return index < piece.length - 1 || piece.length === PIECE ? goingOn(events, place) : { events };
    }
    if (piece.length < PIECE) return { events };
  }
  return place === undefined ? { events } : goingOn(events, place);
}

/** Returns the list that the narrowest of the filters selects. */
function listFor({ workspaceId, clientId, subscriptionId, stream, type, actor }: HistoryFilter) {
  const own = clientId === undefined ? stream : consumerClient.stream(clientId);
  const contains = subscriptionId !== undefined && { contains: { field: 'subscriptionIds', value: subscriptionId } };
  const narrower = (equals: Readonly<Record<string, string>>): Pick<PageQuery, 'equals' | 'contains'> => ({
    equals,
    ...contains,
  });
  if (own !== undefined) return narrower({ stream: own });
  if (actor !== undefined) return narrower({ workspaceId, actorSubject: actor });
  return type === undefined ? narrower({ workspaceId }) : narrower({ workspaceId, type });
}

function matches({ workspaceId, clientId, stream, type, actor, from, to }: HistoryFilter, { doc }: Entry): boolean {
  return (
    doc.workspaceId === workspaceId &&
    (clientId === undefined || doc.stream === consumerClient.stream(clientId)) &&
    (stream === undefined || doc.stream === stream) &&
    (type === undefined || doc.type === type) &&
    (actor === undefined || doc.actorSubject === actor) &&
    (from === undefined || from <= doc.occurredAt) &&
    (to === undefined || doc.occurredAt < to)
  );
}

interface Bounds {
  readonly before: Position;
  readonly last: Position;
}

/** Returns the places between which the events of the range lie. `undefined`: no range is given. */
async function boundsFor(
  histories: Histories,
  { workspaceId, from, to, after, through }: HistoryQuestion,
): Promise<Bounds | 'empty' | undefined> {
  if (from === undefined || to === undefined) return undefined;
  const days = daysOf(from, to);
  if (after !== undefined && through !== undefined) return { before: after, last: through };
  return (await boundsOf(histories, workspaceId, days)) ?? 'empty';
}

function daysOf(from: Instant, to: Instant): string[] {
  const days: string[] = [];
  for (let at = Date.parse(`${dayOf(from)}T00:00:00Z`); at <= Date.parse(to); at += DAY_MS) {
    days.push(dayOf(new Date(at).toISOString()));
    if (days.length > MAX_DAYS + 1) {
      throw new DomainError('invalid', 'range_too_long', 'from and to must be at most 366 days apart', 'from');
    }
  }
  return days;
}

/**
 * Returns the places between which all events of these days lie. Times are ordered within a stream only, so an event of
 * a clock that was wrong may lie far from the others of its day.
 */
async function boundsOf(
  histories: Histories,
  workspaceId: WorkspaceId,
  days: readonly string[],
): Promise<Bounds | undefined> {
  const ends = async (direction: 'asc' | 'desc'): Promise<Position[]> => {
    const found: Position[] = [];
    for (let first = 0; first < days.length; first += READS_AT_ONCE) {
      const lists = days.slice(first, first + READS_AT_ONCE).map((day) =>
        histories.find({
          equals: { workspaceId, day },
          sort: { field: 'positionKey', direction },
          limit: 1,
        }),
      );
      found.push(...(await Promise.all(lists)).flat().map(({ position }) => position));
    }
    return found.sort();
  };
  const [first] = await ends('asc');
  const last = (await ends('desc')).at(-1);
  return first === undefined || last === undefined ? undefined : { before: placeBefore(first), last };
}

/** Returns the position before another one. Positions are decimal numbers, padded with zeros. */
const placeBefore = (position: Position): Position => (BigInt(position) - 1n).toString().padStart(position.length, '0');
