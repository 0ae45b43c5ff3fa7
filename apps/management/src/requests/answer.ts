import type { FastifyReply } from 'fastify';
import type { Position, Revision } from '#events';
import { type BookOfRecord, type Folded, formatConsistencyToken } from '#event-log';

/** ETag = revision of the resource's stream (RFC 9110 §8.8.3). */
export const etagOf = (revision: Revision | number): string => `"${revision}"`;

/** Tells the caller where the command left its stream: `ETag`, and `X-Consistency-Token` for queries that follow. */
export function tellPlace(
  reply: FastifyReply,
  { logId }: BookOfRecord,
  { revision, position }: Pick<Folded<unknown>, 'revision' | 'position'>,
): void {
  if (revision !== undefined) void reply.header('etag', etagOf(revision));
  if (position !== undefined) void reply.header('x-consistency-token', consistencyToken(logId, position));
}

const consistencyToken = (logId: string, position: Position) => formatConsistencyToken({ logId, position });

/** Answers that carry a secret must be kept nowhere (RFC 9111 §5.2.2.5). */
export const neverStore = (reply: FastifyReply): void => void reply.header('cache-control', 'no-store');
