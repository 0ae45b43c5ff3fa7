import type { Instant } from '#domain';

/** A signed head of the tree over the log. */
export interface TreeHeadSigned {
  type: 'TreeHeadSigned';
  /**
   * `size`: number of leaves. `root`: the root hash in base64. `note`: the head as it is published, with its signatures (a
   * C2SP checkpoint). The note's first line is the head's origin.
   */
  data: { size: number; root: string; note: string };
}

/**
 * An operator has begun a new series of heads, because the log does not extend the heads of the old one: it was restored
 * to an older state.
 */
export interface TreeOriginStarted {
  type: 'TreeOriginStarted';
  data: { origin: string; reason: string; startedAt: Instant };
}

/** The events of stream `treeHeads`. They are no leaves of the tree. */
export type TreeHeadsEvent = TreeHeadSigned | TreeOriginStarted;
