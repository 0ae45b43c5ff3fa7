import { type Aggregate, consumerClient, endpointUri, externalId, subscription } from '#domain';
import {
  applying,
  type EventLog,
  foldEvent,
  followed,
  type FollowedEvent,
  ForeignEvent,
  HistoryMissing,
  isStreamOf,
  LogUnavailable,
  type StreamPrefix,
  type StreamState,
} from '#event-log';
import { type ChainLink, type LogEvent, type Position, type RecordedEvent, type Revision, verifyChain } from '#events';
import { allProjections, type FedProjection } from '#process-managers';
import { foldInto, type Projection, type StoredDocument } from '#read-models';

const PAGE = 500;

/** The projections that fold the events of this stream. */
export const projectionsOf = (stream: string): FedProjection['projection'][] =>
  allProjections.map(({ projection }) => projection).filter(({ streams }) => isStreamOf(streams, stream));

/**
 * Reads the whole stream, verifies its hash chain, and applies it to its aggregate and to each projection. Returns the
 * revision of the last event; `undefined` if the stream never existed. Throws an error that says what is wrong with the
 * stream, or `LogUnavailable`.
 */
export async function requireWhole(log: EventLog, stream: string): Promise<Revision | undefined> {
  const folds = [foldOf(stream), ...projectionsOf(stream).map(projecting)];
  let last: ChainLink | undefined;
  for (;;) {
    const from = last ? last.revision + 1n : 0n;
    const events = await log.readStream(stream, { from, limit: PAGE, consistency: 'strong' });
    for (const event of events) {
      const verdict = await verifyChain(stream, [event], last);
      if (!verdict.whole) throw new Error(`${stream} is broken at revision ${verdict.revision}: ${verdict.fault}`);
      last = verdict.last;
      for (const fold of folds) fold(event);
    }
    if (events.length < PAGE) return last?.revision;
  }
}

/**
 * Returns the revision of the stream's last event; `undefined` if the stream has none, or has lost it. Throws
 * `LogUnavailable` if the log can't be read for another reason than an event of the stream.
 */
export async function lastRevisionOf(log: EventLog, stream: string): Promise<Revision | undefined> {
  try {
    const [last] = await log.readStream(stream, { direction: 'backwards', limit: 1, consistency: 'strong' });
    return last?.revision;
  } catch (error) {
    if (error instanceof ForeignEvent) return error.revision;
    if (error instanceof HistoryMissing) return undefined;
    if (!(error instanceof LogUnavailable)) throw error;
    for await (const event of backwards(log, stream)) return event.revision;
    return undefined;
  }
}

/** Whether an event of the stream can't be read. Throws `LogUnavailable` if the log itself can't be read. */
export async function hasUnreadable(log: EventLog, stream: string): Promise<boolean> {
  for await (const { unreadable } of backwards(log, stream)) if (unreadable) return true;
  return false;
}

/** Yields the stream's events, the last one first, from the whole log: its reads also return what can't be read. */
async function* backwards(log: EventLog, stream: string): AsyncGenerator<RecordedEvent, void> {
  let before: Position | undefined;
  for (;;) {
    const after = before === undefined ? {} : { after: before };
    const events = await log.readAll({ ...after, direction: 'backwards', limit: PAGE, consistency: 'strong' });
    yield* events.filter((event) => event.stream === stream);
    before = events.at(-1)?.position;
    if (before === undefined) return;
  }
}

type Fold = (event: RecordedEvent) => void;

const folding = <State, Event extends LogEvent>(
  aggregate: Pick<Aggregate<never, State, never, Event>, 'initial' | 'evolve'>,
): Fold => {
  let known: StreamState<State> = { state: aggregate.initial, revision: undefined };
  return (event) => {
    known = foldEvent(aggregate, known, event);
  };
};

const AGGREGATES: Readonly<Partial<Record<StreamPrefix, () => Fold>>> = {
  'consumerClient-': () => folding(consumerClient),
  'subscription-': () => folding(subscription),
  'endpointUri-': () => folding(endpointUri),
  'externalId-': () => folding(externalId),
};

function foldOf(stream: string): Fold {
  const [, fold] = Object.entries(AGGREGATES).find(([prefix]) => stream.startsWith(prefix)) ?? [];
  return fold?.() ?? (() => undefined);
}

function projecting<Doc>(projection: Projection<Doc>): Fold {
  const documents = new Map<string, StoredDocument<Doc>>();
  const fold = (event: FollowedEvent) => {
    for (const id of projection.documentsOf(event)) {
      const folded = foldInto(projection, documents.get(id), event, id);
      if (folded && projection.isOneEventEach !== true) documents.set(id, folded);
    }
  };
  return (event) => {
    applying(projection.name, event, () => {
      fold(followed(event));
    });
  };
}
