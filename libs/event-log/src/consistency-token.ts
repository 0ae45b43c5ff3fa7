import type { Position } from '#events';

/** What a command answers so that later queries see its effect: a place in a log (`X-Consistency-Token`). */
export interface ConsistencyToken {
  readonly logId: string;
  readonly position: Position;
}

const TOKEN = /^([0-9a-f-]{36})@([0-9]{20,40})$/;

export const formatConsistencyToken = ({ logId, position }: ConsistencyToken): string => `${logId}@${position}`;

/** `undefined` when it is not such a token. */
export const parseConsistencyToken = (raw: string): ConsistencyToken | undefined => {
  const [, logId, position] = TOKEN.exec(raw) ?? [];
  return logId === undefined || position === undefined ? undefined : { logId, position };
};
