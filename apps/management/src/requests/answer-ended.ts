import type { FastifyReply } from 'fastify';

/** Returns a signal that is aborted when the answer has ended: it was sent, or the caller has gone. */
export function answerEnded({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const end = () => {
    controller.abort(new Error('The answer has ended'));
  };
  if (raw.closed || raw.destroyed) end();
  else raw.once('close', end);
  return controller.signal;
}
