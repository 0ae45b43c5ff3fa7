import { BuildsDiffer } from '#read-models';

/** Exit code of a comparison that found different documents. */
export const DOCUMENTS_DIFFER = 2;

/** Exit code of a comparison that found no different documents, but a stream that is cut. */
export const STREAMS_CUT = 3;

export const exitCodeOf = (error: unknown): number => {
  if (error instanceof BuildsDiffer) return DOCUMENTS_DIFFER;
  return error instanceof Interrupted ? 130 : 1;
};

/** The user interrupted the command (Ctrl-C, SIGTERM). */
class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor() {
    super('Interrupted; the same command may be given again');
  }
}

/**
 * Runs `work`. The first SIGINT or SIGTERM aborts the signal that `work` gets, with `Interrupted` as the reason. A
 * second signal of the same kind ends the process.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => {
    controller.abort(new Interrupted());
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    // When the signal aborts a wait, the wait throws an error of its own. We report the interruption instead.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
