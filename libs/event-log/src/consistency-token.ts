import type { Position } from '#events';

/**
 * A consistency token names a place in a log. The response to a command carries the token. A query with this token sees
 * the command's effect (header `X-Consistency-Token`).
 */
export interface ConsistencyToken {
  readonly logId: string;
  readonly position: Position;
}

const TOKEN = /^([0-9a-f-]{36})@([0-9]{20,40})$/;

export const formatConsistencyToken = ({ logId, position }: ConsistencyToken): string => `${logId}@${position}`;

/** Parses a consistency token. Returns `undefined` if the text is not a consistency token. */
export const parseConsistencyToken = (raw: string): ConsistencyToken | undefined => {
  const [, logId, position] = TOKEN.exec(raw) ?? [];
  return logId === undefined || position === undefined ? undefined : { logId, position };
};
