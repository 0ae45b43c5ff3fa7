import { type Aggregate, consumerClient, endpointUri, subscription } from '#domain';
import {
  applying,
  type EventLog,
  foldEvent,
  followed,
  type FollowedEvent,
  ForeignEvent,
  isStreamOf,
  type StreamPrefix,
  type StreamState,
} from '#event-log';
import { type ChainLink, type LogEvent, type RecordedEvent, type Revision, verifyChain } from '#events';
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

/** Returns the revision of the stream's last event; `undefined` if the stream has none, or if it can't be told. */
export async function lastRevisionOf(log: EventLog, stream: string): Promise<Revision | undefined> {
  try {
    const [last] = await log.readStream(stream, { direction: 'backwards', limit: 1, consistency: 'strong' });
    return last?.revision;
  } catch (error) {
    return error instanceof ForeignEvent ? error.revision : undefined;
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
