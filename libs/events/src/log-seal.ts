import type { Instant } from '#domain';

/** While it is the last event of stream `log`, no other stream takes an event: the book of record goes on elsewhere. */
export interface LogSealed {
  type: 'LogSealed';
  data: { reason: string; sealedAt: Instant };
}

/** Ends a seal. */
export interface LogUnsealed {
  type: 'LogUnsealed';
  data: { reason: string; unsealedAt: Instant };
}
