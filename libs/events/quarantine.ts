import type { Instant } from '#domain';

/** An operator has decided that everything else goes on without this stream, because the stream is damaged. */
export interface StreamQuarantined {
  type: 'StreamQuarantined';
  /** `lastRevision` is the revision of the stream's last event, if it could be told. */
  data: { stream: string; reason: string; quarantinedAt: Instant; lastRevision?: number };
}

/** The stream is whole again, and is used as before. */
export interface StreamQuarantineLifted {
  type: 'StreamQuarantineLifted';
  data: { stream: string; reason: string; liftedAt: Instant };
}
