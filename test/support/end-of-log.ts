import type { EventLog } from '#event-log';
import type { Position } from '#events';

/** Where the last event of ours is: `EventLog.end` may be another application's, or a fence. */
export const endOfLog = async (log: EventLog): Promise<Position | undefined> =>
  (await log.readAll({ direction: 'backwards', limit: 1 }))[0]?.position;
