import { readLogId } from './log-id.js';
import type { EventLog } from './port.js';

/** Whether the log can be read. */
export const canBeRead = (log: EventLog): Promise<boolean> => succeeds(() => readLogId(log));

/**
 * Whether the failure of a call concerns only the stream of the call: the log can be read otherwise, and `reread`, which
 * reads the stream again, fails once more.
 */
export const concernsOneStream = async (log: EventLog, reread: () => Promise<unknown>): Promise<boolean> =>
  (await canBeRead(log)) && !(await succeeds(reread));

const succeeds = (call: () => Promise<unknown>): Promise<boolean> =>
  call().then(
    () => true,
    () => false,
  );
