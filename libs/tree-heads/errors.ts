import { Failure } from '#domain';

/**
 * No head is signed: the log does not extend its last head, or an operator has to say first from which head it goes on.
 * `message` says why.
 */
export class TreeHeadsRefused extends Failure {
  override readonly name = 'TreeHeadsRefused';
  readonly kind = 'unavailable';
  readonly code = 'tree_heads_refused';
  readonly detail = 'No head is signed until an operator has looked at the log';
}

/** The log has no head yet. */
export class NoTreeHead extends Failure {
  override readonly name = 'NoTreeHead';
  readonly kind = 'not_found';
  readonly code = 'no_tree_head';
  readonly detail = 'The tree over the log has no signed head yet';

  constructor() {
    super('The log has no head');
  }
}
