/** The user has ended it (Ctrl-C, SIGTERM). */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor() {
    super('Interrupted; the same command may be given again');
  }
}

/** Aborts the signal with `Interrupted` at the first SIGINT or SIGTERM; a second one ends the process. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => {
    controller.abort(new Interrupted());
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    // Waits that were cut short throw an error of their own.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
