import { applying, type EventSelection, type FollowedEvent, type LeftOutEvents, type StreamPrefix } from '#event-log';
import type { Revision } from '#events';
import type { CollectionSchema, GramIndex, StoredDocument } from '../port.js';

/** Folds the log into documents. A projection tells which documents an event changes, and how. */
export interface Projection<Doc = unknown> extends CollectionSchema {
  /**
   * The prefixes of the streams that are folded. An event of another stream is ignored. An event of these streams that
   * this process does not know stops the projection.
   */
  readonly streams: readonly StreamPrefix[];
  /** For a projection whose documents depend on how many events came before; see `EventSelection`. */
  readonly isNumbered?: EventSelection['isNumbered'];
  /** Returns the ids of the documents into which the event is folded; `[]` if the projection ignores the event. */
  documentsOf(event: FollowedEvent): readonly string[];
  /**
   * Returns the name of the document's own stream. The first event of this stream begins the document, and the stream's
   * revision is the document's revision. If `streamOf` is absent, the documents have no stream of their own: any event
   * may begin a document, and every revision is 0.
   */
  streamOf?(id: string): string;
  /** Whether each document results from a single event. Such documents need not be read before they are written. */
  readonly isOneEventEach?: boolean;
  /**
   * Returns the document after the event. Must be a pure function. Throws if the event can't be applied; the projector
   * then stops. The error must not contain data of the event.
   */
  apply(doc: Doc | undefined, event: FollowedEvent, id: string): Doc;
  /**
   * How the number of documents follows from the events. The default fits a projection with one document per stream: the
   * first event of a document's own stream adds one document. `NOT_COUNTED`: the number does not follow from single
   * events.
   */
  readonly count?: DocumentCount | 'NOT_COUNTED';
}

/**
 * Tells how many documents the log makes. The number follows from each event alone, so nobody has to remember the ids of
 * the documents.
 */
export interface DocumentCount {
  /** Returns by how much the event changes the number of documents. */
  changeBy(event: FollowedEvent): number;
}

/**
 * The names by which callers choose the sorting and the filters of a list. In each record, the keys are these names,
 * and the values are the names of the document's fields.
 */
export interface ListFields {
  readonly sorts: Readonly<Record<string, string>>;
  /**
   * The fields in which callers can search for values that begin with a given text. The result of such a search is
   * sorted by the same field.
   */
  readonly prefix?: Readonly<Record<string, string>>;
  /**
   * The fields in which callers can search for values that contain a given text. The result of such a search is sorted
   * by the same field.
   */
  readonly inside?: Readonly<Record<string, { readonly field: string; readonly grams: GramIndex }>>;
  /** The array fields in which callers can search for a single value. */
  readonly contains?: Readonly<Record<string, string>>;
}

/** A projection whose documents are read by queries. */
export interface ReadModel<Doc = unknown, List extends ListFields = ListFields> extends Projection<Doc> {
  readonly list: List;
}

export type DocumentOf<P> = P extends Projection<infer Doc> ? StoredDocument<Doc> : never;

/** Returns whether the event can begin the document: it is in the document's own stream, if the document has one. */
export const isOwnEvent = ({ streamOf }: Pick<Projection, 'streamOf'>, event: FollowedEvent, id: string): boolean =>
  streamOf === undefined || event.stream === streamOf(id);

/**
 * Returns by how much the event changes the number of the projection's documents (see `DocumentCount`). Always 0
 * if they are not counted.
 */
export function changeOfCount(
  projection: Pick<Projection, 'count' | 'documentsOf' | 'streamOf'>,
  event: FollowedEvent,
): number {
  if (projection.count === 'NOT_COUNTED') return 0;
  if (projection.count) return projection.count.changeBy(event);
  return event.revision === 0n
    ? projection.documentsOf(event).filter((id) => isOwnEvent(projection, event, id)).length
    : 0;
}

/** An event, and the ids of the documents that it changes. */
export interface Change {
  readonly event: FollowedEvent;
  readonly ids: readonly string[];
}

/** Returns what the events change, without the events that change nothing. Throws `ProjectionStopped`. */
export const changesBy = (
  projection: Pick<Projection, 'name' | 'documentsOf'>,
  events: readonly FollowedEvent[],
  leftOut?: LeftOutEvents,
): Change[] =>
  events.flatMap((event) => {
    const ids = applying(projection.name, event, () => projection.documentsOf(event), leftOut) ?? [];
    return ids.length > 0 ? [{ event, ids }] : [];
  });

/**
 * Returns the document after the event. If the document contains the event already, returns the document unchanged.
 * Only an event of the document's own stream can create the document. If no document is stored, an event of another
 * stream has no effect, and the result is `undefined`: the event may name a document that a restored log has lost.
 * Throws what `apply` throws.
 */
export function foldInto<Doc>(
  projection: Projection<Doc>,
  stored: StoredDocument<Doc> | undefined,
  event: FollowedEvent,
  id: string,
): StoredDocument<Doc> | undefined {
  if (stored && event.position <= stored.position) return stored;
  const revision = revisionAfter(projection, stored, event, id);
  if (revision === undefined) return undefined;
  return { id, position: event.position, revision, doc: projection.apply(stored?.doc, event, id) };
}

function revisionAfter(
  projection: Projection,
  stored: StoredDocument | undefined,
  event: FollowedEvent,
  id: string,
): Revision | undefined {
  if (projection.streamOf === undefined) return 0n;
  return isOwnEvent(projection, event, id) ? event.revision : stored?.revision;
}
