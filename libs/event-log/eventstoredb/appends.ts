import {
  type AppendExpectedRevision,
  type Credentials,
  ErrorType,
  jsonEvent,
  type SetStreamMetadataOptions,
} from '@eventstore/db-client';
import { type Appended, eventsMissing, EventTooLarge, type ExpectedRevision, RevisionConflict } from '#event-log';
import type { NewEvent } from '#events';
import type { Connection, Link } from './connection.js';
import type { Deadline } from './deadline.js';
import { isInvalid, isTooLarge, namingRight, typeOf } from './errors.js';
import { toPosition } from './positions.js';
import { tombstoned } from './reads.js';

const encoder = new TextEncoder();

/** An append whose stream, events and size `serialiseAppend` has checked. */
export interface CheckedAppend {
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly newEvents: readonly NewEvent[];
  /** The size of all events (see `MAX_APPEND_BYTES`). */
  readonly bytes: number;
}

/**
 * Appends events on the leader. After a transient error, the append is sent again in exactly the same form until the
 * deadline, because the failed attempt may have been written. We use the driver's unary call (one call for each
 * append). Of the driver's calls for appends, only the unary call keeps its deadline and does not fail just because
 * other calls fail. Before each attempt, `requireSameLog` checks that the link leads to the log that the append was
 * decided on. Throws what `EventLog.append` throws.
 */
export async function append(
  connection: Connection,
  { stream, expected, newEvents, bytes }: CheckedAppend,
  credentials: Credentials,
  deadline: Deadline,
  requireSameLog: (link: Link) => Promise<void>,
): Promise<Appended> {
  // The driver sends bytes as they are. It would encode an object's JSON as base64, and decode it again.
  const events = newEvents.map(({ eventId, type, data, metadata }) =>
    jsonEvent({ id: eventId.toLowerCase(), type, data, metadata: encoder.encode(JSON.stringify(metadata)) }),
  );
  const expectedRevision = toExpectedRevision(expected);
  const attempt = () =>
    connection.use(deadline, async (link) => {
      await requireSameLog(link);
      const { client, names } = link;
      const options = { expectedRevision, requiresLeader: true, credentials, deadline: deadline.attemptMs };
      try {
        const { nextExpectedRevision, position } = await client.appendToStream(names.stored(stream), events, options);
        // We refuse a response that comes after the deadline. The caller has given up by then, and the proof in the
        // comment of `SealCheck` relies on this refusal. This process may have been suspended after that check.
        if (deadline.isOverByAnyClock) throw deadline.exceeded();
        requireNewStream(stream, expected, newEvents.length, nextExpectedRevision);
        if (!position) throw new Error(`EventStoreDB did not say where it appended to ${stream}`);
        return { revision: nextExpectedRevision, position: toPosition(position) };
      } catch (error) {
        throw refusalOf(namingRight(error, '$w', names.stored(stream), link), stream, expected, bytes);
      }
    });
  return deadline.retry(attempt);
}

/**
 * Makes the server keep the newest event of this stream only. Errors name the stream `shown`. Throws `LogRefused`, and
 * the errors of the driver.
 */
export async function keepNewestOnly(
  link: Link,
  stream: string,
  options: SetStreamMetadataOptions,
  shown = stream,
): Promise<void> {
  try {
    await link.client.setStreamMetadata(stream, { maxCount: 1 }, options);
  } catch (error) {
    throw namingRight(error, '$mw', shown, link);
  }
}

const toExpectedRevision = (expected: ExpectedRevision): AppendExpectedRevision => {
  if (typeof expected === 'bigint') return expected;
  return expected === 'none' ? 'no_stream' : 'stream_exists';
};

/**
 * Throws `HistoryMissing` if an append expected no stream, and its events did not become the stream's first events. The
 * stream was deleted then, and the server goes on with the revisions of the deleted events.
 */
function requireNewStream(stream: string, expected: ExpectedRevision, events: number, revision: bigint): void {
  const first = revision + 1n - BigInt(events);
  if (expected === 'none' && first !== 0n) throw eventsMissing(stream, 0n, first - 1n);
}

function refusalOf(error: unknown, stream: string, expected: ExpectedRevision, bytes: number): unknown {
  switch (typeOf(error)) {
    case ErrorType.WRONG_EXPECTED_VERSION:
      return new RevisionConflict(stream, expected, actualRevision(error));
    case ErrorType.STREAM_DELETED:
      return tombstoned(stream);
    default:
      if (isTooLarge(error)) return new EventTooLarge(stream, bytes);
      if (!isInvalid(error)) return error;
      return new TypeError(`EventStoreDB finds an append to ${stream} invalid`, { cause: error });
  }
}

const actualRevision = (error: unknown): bigint | undefined =>
  error instanceof Error && 'actualVersion' in error && typeof error.actualVersion === 'bigint'
    ? error.actualVersion
    : undefined;
