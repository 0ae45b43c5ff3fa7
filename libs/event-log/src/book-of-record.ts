import { type Aggregate, consumerClient, endpointUri, type Instant, signingKeys, subscription } from '#domain';
import type { EventVersions, LogEvent } from '#events';
import { CommandExecutor } from './command-executor.js';
import { identifyLog } from './log-id.js';
import type { EventLog } from './port.js';

/** The type of the executor that carries out the commands of aggregate `A`. */
type ExecutorOf<A> =
  A extends Aggregate<
    infer Id,
    infer State,
    infer Command extends { readonly at: Instant },
    infer Event extends LogEvent
  >
    ? CommandExecutor<Id, State, Command, Event>
    : never;

export type ConsumerClients = ExecutorOf<typeof consumerClient>;
export type Subscriptions = ExecutorOf<typeof subscription>;
export type EndpointUris = ExecutorOf<typeof endpointUri>;
export type SigningKeys = ExecutorOf<typeof signingKeys>;

/**
 * The event log, its id, and an executor of commands for each aggregate. Every decision is made through one of these
 * executors.
 */
export interface BookOfRecord {
  readonly log: EventLog;
  readonly logId: string;
  /** The versions in which this process writes events. */
  readonly eventVersions: EventVersions;
  readonly clients: ConsumerClients;
  readonly subscriptions: Subscriptions;
  readonly endpointUris: EndpointUris;
  readonly signingKeys: SigningKeys;
}

/**
 * Makes the book of record on a log. If the log has no id yet, the log gets a new id. `eventVersions`: the versions in
 * which events are written. Throws `LogUnavailable`.
 */
export async function openBookOfRecord(
  log: EventLog,
  now: () => Date,
  eventVersions: EventVersions = 'current',
): Promise<BookOfRecord> {
  const logId = await identifyLog(log, now);
  return {
    log,
    logId,
    eventVersions,
    clients: new CommandExecutor(log, logId, consumerClient, eventVersions),
    subscriptions: new CommandExecutor(log, logId, subscription, eventVersions),
    endpointUris: new CommandExecutor(log, logId, endpointUri, eventVersions),
    signingKeys: new CommandExecutor(log, logId, signingKeys, eventVersions),
  };
}
