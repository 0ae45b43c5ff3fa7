import type { EventMetadata, RecordedEvent } from '#events';

/** Returns an event of the log that the store could not read, for a reader of the whole log. */
export const unreadableEvent = (
  place: Pick<RecordedEvent, 'eventId' | 'type' | 'stream' | 'revision' | 'position'>,
  unreadable: Error,
): RecordedEvent => ({ ...place, data: {}, metadata: {} as EventMetadata, unreadable });
