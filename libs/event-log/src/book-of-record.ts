import {
  type Aggregate,
  consumerClient,
  endpointUri,
  externalId,
  type Instant,
  signingKeys,
  subscription,
} from '#domain';
import type { EventVersions, LogEvent } from '#events';
import { CommandExecutor } from './command-executor.js';
import { identifyLog } from './log-id.js';
import { EndedManagementTokens } from './operator-acts.js';
import type { EventLog } from './port.js';
import { Quarantines } from './quarantines.js';
import type { OutageObserver } from './retry.js';
import { SnapshotWrites } from './snapshots/snapshot-writes.js';

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
export type ExternalIds = ExecutorOf<typeof externalId>;
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
  readonly externalIds: ExternalIds;
  readonly signingKeys: SigningKeys;
  readonly quarantines: Quarantines;
  readonly endedManagementTokens: EndedManagementTokens;
  /** How the writing of snapshots of long streams goes. */
  readonly snapshotWrites: Pick<SnapshotWrites, 'failures'>;
}

/**
 * Makes the book of record on a log. If the log has no id yet, the log gets a new id. `eventVersions`: the versions in
 * which events are written. `snapshotObserver` is told when snapshots of long streams can't be written any more. Throws
 * `LogUnavailable`.
 */
export async function openBookOfRecord(
  log: EventLog,
  now: () => Date,
  eventVersions: EventVersions = 'current',
  snapshotObserver?: OutageObserver,
): Promise<BookOfRecord> {
  const [logId] = await Promise.all([identifyLog(log, now), log.rememberNewest()]);
  const snapshotWrites = new SnapshotWrites(snapshotObserver);
  const quarantines = new Quarantines(log);
  const executorOf = <Id, State, Command extends { readonly at: Instant }, Event extends LogEvent>(
    aggregate: Aggregate<Id, State, Command, Event>,
  ) => new CommandExecutor(log, logId, aggregate, eventVersions, snapshotWrites, quarantines);
  return {
    log,
    logId,
    eventVersions,
    clients: executorOf(consumerClient),
    subscriptions: executorOf(subscription),
    endpointUris: executorOf(endpointUri),
    externalIds: executorOf(externalId),
    signingKeys: executorOf(signingKeys),
    quarantines,
    endedManagementTokens: new EndedManagementTokens(log),
    snapshotWrites,
  };
}
