import type { Instant } from '#domain';

/**
 * While this event is the last event of stream `log`, no other stream accepts events, because the book of record moves
 * to another log.
 */
export interface LogSealed {
  type: 'LogSealed';
  data: { reason: string; sealedAt: Instant };
}

/** Ends a seal (`LogSealed`): the log accepts events again. */
export interface LogUnsealed {
  type: 'LogUnsealed';
  data: { reason: string; unsealedAt: Instant };
}
