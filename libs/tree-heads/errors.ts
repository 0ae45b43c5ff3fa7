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

/** The stream has events that the last signed head does not cover yet. */
export class NotYetInHead extends Failure {
  override readonly name = 'NotYetInHead';
  readonly kind = 'conflict';
  readonly code = 'not_yet_in_head';
  readonly detail = 'The last signed head does not cover the latest events yet. Wait for the next one, or force one';
  /** How long the next head may take, unless it is forced. */
  override readonly retryAfterSeconds = 60;

  constructor(stream: string) {
    super(`The last head does not cover all events of ${stream}`);
  }
}

/** Evidence is asked for since a tree that is larger than that of the last signed head. */
export class SinceBeyondHead extends Failure {
  override readonly name = 'SinceBeyondHead';
  readonly kind = 'invalid';
  readonly code = 'validation_failed';
  readonly detail: string;
  override readonly field = 'since';

  constructor(size: number) {
    super(`The last head has ${size} leaves`);
    this.detail = `since must be at most ${size}`;
  }
}

/** The stream has too many events for evidence in one piece. */
export class EvidenceTooLarge extends Failure {
  override readonly name = 'EvidenceTooLarge';
  readonly kind = 'too_large';
  readonly code = 'evidence_too_large';
  readonly detail = 'This client has more events than one bundle of evidence may have';

  constructor(stream: string) {
    super(`Evidence of ${stream} would be too large`);
  }
}

/** The tree of the last head has no such tile. */
export class NoSuchTile extends Failure {
  override readonly name = 'NoSuchTile';
  readonly kind = 'not_found';
  readonly code = 'no_such_tile';
  readonly detail = 'The tree of the last head has no such tile';

  constructor(path: string) {
    super(`The tree has no ${path}`);
  }
}
