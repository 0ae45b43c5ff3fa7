import {
  type Assignment,
  type AuthenticationType,
  type ClientId,
  type ConsumerClientSecretRotated,
  type Instant,
  type SubscriptionId,
  type WorkspaceId,
  isClientId,
} from '#domain';
import type { ClientUsage } from '#events';
import type { FollowedEvent, Projection } from './projection.js';
import { searchKey } from './search-key.js';

/** A credential that is good, or will be until `expiresAt`; without its verifier. */
export interface CredentialDocument {
  readonly generation: number;
  readonly createdAt: Instant;
  /** The end of its overlap; absent on the newest generation. */
  readonly expiresAt?: Instant;
}

/** A client as it is listed: in the active table or in the revoked one, which is what `status` says. */
export interface ClientDocument {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
  readonly name: string;
  readonly authenticationType: AuthenticationType;
  readonly status: 'ACTIVE' | 'REVOKED';
  readonly createdAt: Instant;
  /** Of any login, refresh or gateway's call that an auth process recorded: up to a minute behind. */
  readonly lastUsedAt?: Instant;
  readonly revokedAt?: Instant;
  readonly revocationReason?: string;
  /** Oldest first: the newest generation, and the one before it while its overlap lasts. Empty once revoked. */
  readonly credentials: CredentialDocument[];
  /** In the order of their assignment. Empty once revoked. */
  readonly subscriptions: Assignment[];
  /** What names are searched and sorted by. */
  readonly nameKey: string;
  /** What `GET /v1/subscriptions/{id}/clients` is found by. */
  readonly subscriptionIds: SubscriptionId[];
}

/**
 * How clients are listed: always within a workspace and one of the two tables (`workspaceId`, `status`). A prefix of the
 * name goes with the sort by name; only revoked clients are in the list sorted by `revokedAt`.
 */
export const clientList = {
  sorts: { createdAt: 'createdAt', name: 'nameKey', revokedAt: 'revokedAt' },
  filters: { authenticationType: ['API_KEY', 'OAUTH2'] },
  prefix: { name: 'nameKey' },
  contains: { subscriptionId: 'subscriptionIds' },
} as const;

const table = ['workspaceId', 'status'] as const;

const STREAM_PREFIX = 'consumerClient-';

/** The client whose stream the event is of; `undefined` for other streams. Throws when the stream names no client. */
export function clientOf({ stream }: FollowedEvent): ClientId | undefined {
  if (!stream.startsWith(STREAM_PREFIX)) return undefined;
  const clientId = stream.slice(STREAM_PREFIX.length);
  if (!isClientId(clientId)) throw new Error('The stream names no client');
  return clientId;
}

/** Usage comes from streams of its own, also after the client's revocation: what was seen just before it. */
const used = (client: ClientDocument | undefined, usage: ClientUsage | undefined): ClientDocument => {
  if (!client || !usage) throw new Error('Usage of a client that is unknown');
  const { lastUsedAt } = client;
  return lastUsedAt !== undefined && usage.lastUsedAt <= lastUsedAt
    ? client
    : { ...client, lastUsedAt: usage.lastUsedAt };
};

const apply = (client: ClientDocument | undefined, event: FollowedEvent, id: string): ClientDocument => {
  if (event.type === 'UsageRecorded') return used(client, event.data.clients[id as ClientId]);
  if (event.type === 'ConsumerClientCreated' && client === undefined) {
    const { clientId, workspaceId, name, authenticationType, createdAt } = event.data;
    return {
      ...{ clientId, workspaceId, name, authenticationType, status: 'ACTIVE', createdAt },
      credentials: [{ generation: 1, createdAt }],
      subscriptions: [],
      nameKey: searchKey(name),
      subscriptionIds: [],
    };
  }
  if (event.type === 'ConsumerClientCreated' || client?.status !== 'ACTIVE') {
    throw new Error(`${event.type} of a client that is ${client?.status ?? 'unknown'}`);
  }
  switch (event.type) {
    case 'ConsumerClientRenamed':
      return { ...client, name: event.data.name, nameKey: searchKey(event.data.name) };
    case 'ConsumerClientSecretRotated':
      return { ...client, credentials: rotated(client.credentials, event.data) };
    case 'ConsumerClientCredentialRetired': {
      const { generation } = event.data;
      return {
        ...client,
        credentials: client.credentials.filter((credential) => credential.generation !== generation),
      };
    }
    case 'ConsumerClientAssignedToSubscription': {
      const { subscriptionId, endpointUri, serviceName, assignedAt } = event.data;
      const assigned = { subscriptionId, endpointUri, serviceName, assignedAt };
      return withSubscriptions(client, [...without(client, subscriptionId), assigned]);
    }
    case 'ConsumerClientUnassignedFromSubscription':
      return withSubscriptions(client, without(client, event.data.subscriptionId));
    case 'ConsumerClientRevoked': {
      const { revokedAt, reason } = event.data;
      const revoked = { status: 'REVOKED', revokedAt, revocationReason: reason } as const;
      return { ...withSubscriptions(client, []), ...revoked, credentials: [] };
    }
    // They change nothing that is listed, but the revision that `If-Match` compares.
    case 'ConsumerClientStaticTokenIssued':
    case 'ConsumerClientTokenRevoked':
    case 'ConsumerClientTokensEnded':
      return client;
    default:
      throw new Error(`${event.type} is no event of a client`);
  }
};

const rotated = (
  credentials: readonly CredentialDocument[],
  { generation, rotatedAt, previousExpiresAt }: ConsumerClientSecretRotated['data'],
): CredentialDocument[] => {
  const overlapping = rotatedAt < previousExpiresAt ? credentials.slice(-1) : [];
  return [
    ...overlapping.map((previous) => ({ ...previous, expiresAt: previousExpiresAt })),
    { generation, createdAt: rotatedAt },
  ];
};

const without = (client: ClientDocument, subscriptionId: SubscriptionId) =>
  client.subscriptions.filter((assignment) => assignment.subscriptionId !== subscriptionId);

const withSubscriptions = (client: ClientDocument, subscriptions: Assignment[]): ClientDocument => ({
  ...client,
  subscriptions,
  subscriptionIds: subscriptions.map(({ subscriptionId }) => subscriptionId),
});

/** One document per client: the active and the revoked table. */
export const clients: Projection<ClientDocument> = {
  name: 'clients',
  version: 1,
  indexes: Object.values(clientList.sorts).flatMap((sort) => [
    [...table, sort],
    [...table, 'authenticationType', sort],
  ]),
  arrayIndexes: ['subscriptionIds'],
  documentsOf: (event) => {
    if (event.type === 'UsageRecorded') return Object.keys(event.data.clients);
    const clientId = clientOf(event);
    return clientId === undefined ? [] : [clientId];
  },
  streamOf: (clientId) => `${STREAM_PREFIX}${clientId}`,
  apply,
};
