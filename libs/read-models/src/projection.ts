import { type RecordedEvent, type UpcastEvent, upcast } from '#events';
import type { CollectionSchema, StoredDocument } from './port.js';

/** An event in its current form, beside the form that it was stored in. */
export type FollowedEvent = UpcastEvent & { readonly recorded: RecordedEvent };

/** Throws `UnknownEvent`. */
export const followed = (recorded: RecordedEvent): FollowedEvent => ({ ...upcast(recorded), recorded });

/** A read model as a fold of the log: which documents an event touches, and what becomes of each. */
export interface Projection<Doc = unknown> extends CollectionSchema {
  /** Ids of the documents that the event is folded into; `[]` when the projection ignores it. */
  documentsOf(event: FollowedEvent): readonly string[];
  /** The document's own stream: its first event begins the document, its revisions are the document's. */
  streamOf(id: string): string;
  /** Pure. Throws when the event can't be applied: the loop stops, it never skips. Its errors hold no event's data. */
  apply(doc: Doc | undefined, event: FollowedEvent, id: string): Doc;
}

export type DocumentOf<P> = P extends Projection<infer Doc> ? StoredDocument<Doc> : never;

/** Whether the event is of the document's own stream. */
export const isOwnEvent = ({ streamOf }: Pick<Projection, 'streamOf'>, event: FollowedEvent, id: string): boolean =>
  event.stream === streamOf(id);

/**
 * The document after the event, or as it was where it holds the event already; `undefined` where it has not begun: its
 * own stream begins it, and what another tells before is of no document (the log was restored to a state before it).
 * Throws what `apply` throws.
 */
export function foldInto<Doc>(
  projection: Projection<Doc>,
  stored: StoredDocument<Doc> | undefined,
  event: FollowedEvent,
  id: string,
): StoredDocument<Doc> | undefined {
  if (stored && event.position <= stored.position) return stored;
  const revision = isOwnEvent(projection, event, id) ? event.revision : stored?.revision;
  if (revision === undefined) return undefined;
  return { id, position: event.position, revision, doc: projection.apply(stored?.doc, event, id) };
}
