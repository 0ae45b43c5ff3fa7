import { type AppendExpectedRevision, type Credentials, ErrorType, jsonEvent } from '@eventstore/db-client';
import { type Appended, type ExpectedRevision, EventTooLarge, RevisionConflict } from '#event-log';
import type { NewEvent } from '#events';
import type { Connection } from './connection.js';
import type { Deadline } from './deadline.js';
import { inTrouble, typeOf } from './errors.js';
import { toPosition } from './positions.js';

/** An append that `serialiseAppend` has nothing against. */
export interface CheckedAppend {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly newEvents: readonly NewEvent[];
  /** The sum of all data and metadata, UTF-8. */
  readonly bytes: number;
}

/**
 * Appends on the leader, by the driver's unary path: the only one whose deadline holds, and whose failures stay its own.
 * An attempt that failed may have been written, so it is sent again exactly as it was, until the deadline. Throws what
 * `EventLog.append` throws.
 */
export async function append(
  connection: Connection,
  { stream, expected, newEvents, bytes }: CheckedAppend,
  credentials: Credentials,
  deadline: Deadline,
): Promise<Appended> {
  const events = newEvents.map(({ eventId, type, data, metadata }) =>
    jsonEvent({ id: eventId.toLowerCase(), type, data, metadata }),
  );
  const expectedRevision = toExpectedRevision(expected);
  const attempt = () =>
    connection.use(deadline, async ({ client }) => {
      const options = { expectedRevision, requiresLeader: true, credentials, deadline: deadline.attemptMs };
      try {
        const { nextExpectedRevision, position } = await client.appendToStream(stream, events, options);
        // An answer so late is none: its caller has given up, and a seal counts on that.
        if (deadline.isOver) throw deadline.exceeded();
        if (!position) throw new Error(`EventStoreDB did not say where it appended to ${stream}`);
        return { revision: nextExpectedRevision, position: toPosition(position) };
      } catch (error) {
        throw refusalOf(error, stream, expected, bytes);
      }
    });
  return deadline.retry(attempt);
}

const toExpectedRevision = (expected: ExpectedRevision): AppendExpectedRevision => {
  if (typeof expected === 'bigint') return expected;
  return expected === 'none' ? 'no_stream' : 'stream_exists';
};

function refusalOf(error: unknown, stream: string, expected: ExpectedRevision, bytes: number): unknown {
  switch (typeOf(error)) {
    case ErrorType.WRONG_EXPECTED_VERSION:
      return new RevisionConflict(stream, expected, actualRevision(error));
    case ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED:
      return new EventTooLarge(stream, bytes);
    default:
      return inTrouble(error, `append to ${stream}`);
  }
}

const actualRevision = (error: unknown): bigint | undefined =>
  error instanceof Error && 'actualVersion' in error && typeof error.actualVersion === 'bigint'
    ? error.actualVersion
    : undefined;
