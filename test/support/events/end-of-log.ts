import type { EventLog } from '#event-log';
import type { Position } from '#events';
import { tokenUpTo } from '#replay';

/**
 * Returns the position of the last event that a read model's checkpoint can name. `EventLog.end` may return the position
 * of another application's event, of a fence (a write that proves that the connection reaches the current leader), or of
 * a tree head.
 */
export const endOfLog = async (log: EventLog): Promise<Position | undefined> =>
  (await tokenUpTo({ log, logId: '' }))?.position;
