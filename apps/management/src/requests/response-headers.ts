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

/** Forbids caching of a response that contains a secret (RFC 9111 §5.2.2.5). */
export const forbidCaching = (reply: FastifyReply): void => void reply.header('cache-control', 'no-store');
