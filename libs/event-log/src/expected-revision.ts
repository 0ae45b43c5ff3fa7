import type { Revision } from '#events';

/**
 * The condition of an append. `none`: the stream has no event. `exists`: the stream has at least one event. `Revision`:
 * the stream's last event has this revision. Every append MUST name a condition.
 */
export type ExpectedRevision = 'none' | 'exists' | Revision;
