import {
  type ClientId,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type ConsumerClientState,
  type EndpointUri,
  type EndpointUriCommand,
  type EndpointUriEvent,
  type EndpointUriState,
  type SigningKeysCommand,
  type SigningKeysEvent,
  type SigningKeysState,
  type SubscriptionCommand,
  type SubscriptionEvent,
  type SubscriptionId,
  type SubscriptionState,
  consumerClient,
  consumerClientStream,
  endpointUri,
  endpointUriStream,
  signingKeys,
  signingKeysStream,
  subscription,
  subscriptionStream,
} from '#domain';
import { CommandExecutor } from './command-executor.js';
import { identifyLog } from './log-id.js';
import type { EventLog } from './port.js';

export type ConsumerClients = CommandExecutor<
  ClientId,
  ConsumerClientState,
  ConsumerClientCommand,
  ConsumerClientEvent
>;
export type Subscriptions = CommandExecutor<SubscriptionId, SubscriptionState, SubscriptionCommand, SubscriptionEvent>;
export type EndpointUris = CommandExecutor<EndpointUri, EndpointUriState, EndpointUriCommand, EndpointUriEvent>;
export type SigningKeys = CommandExecutor<void, SigningKeysState, SigningKeysCommand, SigningKeysEvent>;

/** The event log with its id and an executor for each aggregate: all that decides goes through here. */
export interface BookOfRecord {
  readonly log: EventLog;
  readonly logId: string;
  readonly clients: ConsumerClients;
  readonly subscriptions: Subscriptions;
  readonly endpointUris: EndpointUris;
  readonly signingKeys: SigningKeys;
}

/** Names the log where it has no name yet. Throws `LogUnavailable`. */
export async function openBookOfRecord(log: EventLog, now: () => Date): Promise<BookOfRecord> {
  return {
    log,
    logId: await identifyLog(log, now),
    clients: new CommandExecutor(log, { ...consumerClient, stream: consumerClientStream }),
    subscriptions: new CommandExecutor(log, { ...subscription, stream: subscriptionStream }),
    endpointUris: new CommandExecutor(log, { ...endpointUri, stream: endpointUriStream }),
    signingKeys: new CommandExecutor(log, { ...signingKeys, stream: () => signingKeysStream }),
  };
}
