import type { Instant } from '#domain';
import type { Position, RecordedEvent, Revision } from '#events';

/**
 * Says up to where the past is looked at:
 *
 * - `revision`: up to this event of one stream.
 * - `position`: up to this place in the whole log. This is exact across streams.
 * - `time`: up to this moment, as `occurredAt` of the events tells it. The events of one stream never go back in time,
 *   but the clocks of two processes may differ, so this is exact within one stream only.
 */
export type Basis =
  | { readonly by: 'revision'; readonly revision: Revision }
  | { readonly by: 'position'; readonly position: Position }
  | { readonly by: 'time'; readonly at: Instant };

/** The place of an event in its stream, in the log and in time. */
export interface EventPlace {
  readonly revision: Revision;
  readonly position: Position;
  readonly occurredAt: Instant;
}

export const placeOf = ({ revision, position, metadata }: RecordedEvent): EventPlace => ({
  ...{ revision, position },
  occurredAt: metadata.occurredAt,
});

/** Whether an event at this place belongs to the past that the basis names. */
export function isWithin(basis: Basis, { revision, position, occurredAt }: EventPlace): boolean {
  switch (basis.by) {
    case 'revision':
      return revision <= basis.revision;
    case 'position':
      return position <= basis.position;
    case 'time':
      return occurredAt <= basis.at;
  }
}
