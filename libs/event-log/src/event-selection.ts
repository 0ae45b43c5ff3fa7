import { type RecordedEvent, upcast, type UpcastEvent } from '#events';
import type { StreamPrefix } from './streams.js';

/** An event in its current form. `recorded` is the event in the form in which it was stored. */
export type FollowedEvent = UpcastEvent & {
  readonly recorded: RecordedEvent;
  /** The event's number, from 0, for a follower that numbers events (see `EventSelection.isNumbered`). */
  readonly ordinal?: number;
};

/** Which events of the log a follower applies. */
export interface EventSelection {
  /**
   * The prefixes of the streams that the follower applies (default: all streams). Events of other streams are skipped
   * unread, so an event that this process does not know stops only the followers that apply the event's stream.
   */
  readonly streams?: readonly StreamPrefix[];
  /**
   * Chooses the events to be numbered, for a follower whose effects depend on how many events came before. If this is
   * given, the follower applies exactly these events, whatever their streams. They keep the form in which they were
   * stored, so that no unknown type can stop the numbering, and none is left out because its stream is quarantined. The
   * choice MUST depend on nothing but the event, and must never change.
   */
  readonly isNumbered?: ((event: RecordedEvent) => boolean) | undefined;
}

/** Whether the stream begins with one of the prefixes. */
export const isStreamOf = (prefixes: readonly StreamPrefix[], stream: string): boolean =>
  prefixes.some((prefix) => stream.startsWith(prefix));

/** Whether a follower applies the event. */
export const isSelected = ({ streams, isNumbered }: EventSelection, event: RecordedEvent): boolean =>
  isNumbered ? isNumbered(event) : streams === undefined || isStreamOf(streams, event.stream);

/**
 * Returns the event in the form in which the follower applies it. `ordinal` is the number of a numbered event. Throws
 * `UnknownEvent`, and the error of an unreadable event.
 */
export const followed = (recorded: RecordedEvent, ordinal?: number): FollowedEvent => {
  // Much faster than spreading the event.
  const { eventId, type, data, metadata, stream, revision, position } =
    ordinal === undefined ? upcast(recorded) : recorded;
  const event = { eventId, type, data, metadata, stream, revision, position, recorded } as FollowedEvent;
  return ordinal === undefined ? event : { ...event, ordinal };
};
