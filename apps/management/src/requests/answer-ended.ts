import type { FastifyReply } from 'fastify';
import { callerGone } from '#platform';

/** Returns a signal that is aborted when the answer has ended: it was sent, or the caller has gone. */
export function answerEnded({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const end = () => {
    controller.abort(callerGone());
  };
  if (raw.closed || raw.destroyed) end();
  else raw.once('close', end);
  return controller.signal;
}
