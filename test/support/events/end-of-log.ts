import type { EventLog } from '#event-log';
import type { Position } from '#events';

/**
 * Returns the position of the last event that our service wrote. `EventLog.end` may return the position of another
 * application's event, or of a fence (a write that proves that the connection reaches the current leader).
 */
export const endOfLog = async (log: EventLog): Promise<Position | undefined> =>
  (await log.readAll({ direction: 'backwards', limit: 1 }))[0]?.position;
