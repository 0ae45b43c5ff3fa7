import type { Instant } from '#domain';
import { type CommandContext, type LogEvent, type RecordedEvent, seal } from '#events';
import { RevisionConflict } from './errors.js';
import type { EventLog } from './port.js';

/** Who does an operator's act, when, and perhaps why. */
export interface OperatorActOptions {
  /** Why. The event stores this reason for auditors, and the API shows that of a quarantine. */
  readonly reason?: string | undefined;
  readonly context: CommandContext;
  readonly now: () => Date;
}

/** An operator's act that needs a reason. */
export interface ReasonedActOptions extends OperatorActOptions {
  readonly reason: string;
}

export interface NextEventOptions extends Pick<OperatorActOptions, 'context' | 'now'> {
  readonly stream: string;
  /** Reads the events on which `decide` depends, by a strong read. The last one MUST be the stream's last event. */
  readonly read: () => Promise<readonly RecordedEvent[]>;
  /**
   * Returns the event to append, or `undefined` if there is nothing to do. `at` is the time of the event: it is never
   * earlier than that of the event before.
   */
  readonly decide: (events: readonly RecordedEvent[], at: Instant) => LogEvent | undefined;
}

/**
 * Appends an operator's event to a stream that has no aggregate. If another process has appended in between, decides
 * anew. Returns whether an event was appended. Throws `InvalidEvent`, `LogUnavailable`, and what `decide` throws.
 */
export async function appendNext(log: EventLog, options: NextEventOptions): Promise<boolean> {
  const { stream, context, now, read, decide } = options;
  const events = await read();
  const last = events.at(-1);
  const today = now().toISOString();
  const at = last && today < last.metadata.occurredAt ? last.metadata.occurredAt : today;
  const event = decide(events, at);
  if (!event) return false;
  const link = last && { revision: last.revision, hash: last.metadata.hash };
  try {
    await log.append(stream, last?.revision ?? 'none', seal(stream, link, [event], context, at));
    return true;
  } catch (error) {
    if (!(error instanceof RevisionConflict)) throw error;
    return appendNext(log, options);
  }
}
