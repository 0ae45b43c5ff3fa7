import type { Instant } from '#domain';
import type { Position } from './envelope.js';

/** An operator knows that the log was restored to an older state, and that everything goes on from there. */
export interface LogAdopted {
  type: 'LogAdopted';
  /** `position` and `eventId` are those of the log's last event when it was adopted. */
  data: { position: Position; eventId: string; reason: string; adoptedAt: Instant };
}
