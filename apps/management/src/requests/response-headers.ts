import type { FastifyReply } from 'fastify';
import { type BookOfRecord, type Folded, formatConsistencyToken } from '#event-log';
import type { Position, Revision } from '#events';

/** The ETag of a resource is the revision of the resource's stream (RFC 9110 §8.8.3). */
export const etagOf = (revision: Revision | number): string => `"${revision}"`;

/** Sets `ETag` and `X-Consistency-Token`. A later query that sends this token sees the effect of the command. */
export function setPlaceHeaders(
  reply: FastifyReply,
  { logId }: BookOfRecord,
  { revision, position }: Pick<Folded<unknown>, 'revision' | 'position'>,
): void {
  if (revision !== undefined) void reply.header('etag', etagOf(revision));
  if (position !== undefined) void reply.header('x-consistency-token', consistencyToken(logId, position));
}

const consistencyToken = (logId: string, position: Position) => formatConsistencyToken({ logId, position });

/** What a command would do, and the revision of the stream on which that was decided. */
export interface Preview<Effect> {
  readonly effect: Effect;
  readonly revision: Revision;
}

/**
 * Returns the body of a dry run, and sets its `ETag`. A rotation or revocation that sends this ETag as `If-Match` has
 * the effect that the dry run has shown, or none. The end of a subscription may have another effect: its ETag does not
 * cover the assignments, which are in the streams of the clients.
 */
export function answerPreview<Effect>(reply: FastifyReply, { effect, revision }: Preview<Effect>): Effect {
  void reply.header('etag', etagOf(revision));
  return effect;
}

/** Forbids caching of a response that contains a secret (RFC 9111 §5.2.2.5). */
export const forbidCaching = (reply: FastifyReply): void => void reply.header('cache-control', 'no-store');
