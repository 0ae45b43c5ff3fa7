import {
  type Assignment,
  type AuthenticationType,
  type ClientDescription,
  type ClientId,
  clientIdOf,
  consumerClient,
  type ConsumerClientEvent,
  type DataOf,
  type Instant,
  type SubscriptionId,
  type WorkspaceId,
} from '#domain';
import type { FollowedEvent } from '#event-log';
import type { DocumentSchema } from '../document-schema.js';
import { gramsOf } from '../grams.js';
import type { GramIndex } from '../port.js';
import type { ReadModel } from './projection.js';
import { searchKey } from './search-key.js';

/**
 * A credential, without its verifier (Argon2id hash of the secret). If `expiresAt` is set, the credential is valid until
 * then.
 */
export interface CredentialDocument {
  readonly generation: number;
  readonly createdAt: Instant;
  /** The first four characters of the secret's random part. Absent if an older version of this software made it. */
  readonly hint?: string;
  /**
   * End of the credential's overlap (the time in which the credential is valid beside its successor), or its own expiry,
   * whichever is earlier. Absent on the newest credential if that has no expiry.
   */
  readonly expiresAt?: Instant;
}

export interface LabelDocument {
  readonly key: string;
  readonly value: string;
}

/** A client as lists return it. `status` tells whether the client is in the table of active or of revoked clients. */
export interface ClientDocument {
  readonly clientId: ClientId;
  readonly workspaceId: WorkspaceId;
  readonly name: string;
  readonly description?: string;
  /** In the order of their keys. A list, because MongoDB gives a meaning to dots in the names of fields. */
  readonly labels: LabelDocument[];
  readonly externalId?: string;
  readonly authenticationType: AuthenticationType;
  readonly status: 'ACTIVE' | 'REVOKED';
  readonly createdAt: Instant;
  readonly revokedAt?: Instant;
  readonly revocationReason?: string;
  /**
   * The newest generation of the client's secret and, during an overlap, the generation before it. The oldest comes
   * first. The list is empty after the client's revocation.
   */
  readonly credentials: CredentialDocument[];
  /**
   * The subscriptions that the client is assigned to, in the order of assignment. The list is empty after the client's
   * revocation.
   */
  readonly subscriptions: Assignment[];
  /** The name in the form that is used for search and sorting (`searchKey`). */
  readonly nameKey: string;
  /** The grams of `nameKey` (`gramsOf`). A search inside names finds candidates by them. */
  readonly nameGrams: string[];
  /** Ids of `subscriptions`. The route `GET /v1/subscriptions/{id}/clients` searches this field. */
  readonly subscriptionIds: SubscriptionId[];
  /** `labels` as texts `key:value`, for searching. No key contains a colon. */
  readonly labelPairs: string[];
}

const table = ['workspaceId', 'status'] as const;

const nameGrams: GramIndex = { field: 'nameGrams', within: table };

/**
 * Every list of clients is restricted to one workspace and to either active or revoked clients (`workspaceId`,
 * `status`). A search for the beginning of a name, or for a text inside it, is sorted by name. The list that is sorted
 * by `revokedAt` contains only revoked clients. The clients with one `externalId` are few, and sorted by `createdAt`.
 */
const list = {
  sorts: { createdAt: 'createdAt', name: 'nameKey', revokedAt: 'revokedAt' },
  prefix: { name: 'nameKey' },
  inside: { name: { field: 'nameKey', grams: nameGrams } },
  contains: { subscriptionId: 'subscriptionIds', label: 'labelPairs' },
} as const;

const document: DocumentSchema<ClientDocument> = {
  fields: {
    clientId: 'string',
    workspaceId: 'string',
    name: 'string',
    description: 'string',
    labels: { listOf: { fields: { key: 'string', value: 'string' } } satisfies DocumentSchema<LabelDocument> },
    externalId: 'string',
    authenticationType: { oneOf: ['API_KEY', 'OAUTH2'] },
    status: { oneOf: ['ACTIVE', 'REVOKED'] },
    createdAt: 'string',
    revokedAt: 'string',
    revocationReason: 'string',
    credentials: {
      listOf: {
        fields: { generation: 'integer', createdAt: 'string', hint: 'string', expiresAt: 'string' },
        optional: ['hint', 'expiresAt'],
      } satisfies DocumentSchema<CredentialDocument>,
    },
    subscriptions: {
      listOf: {
        fields: { subscriptionId: 'string', endpointUri: 'string', serviceName: 'string', assignedAt: 'string' },
      } satisfies DocumentSchema<Assignment>,
    },
    nameKey: 'string',
    nameGrams: { listOf: 'string' },
    subscriptionIds: { listOf: 'string' },
    labelPairs: { listOf: 'string' },
  },
  optional: ['description', 'externalId', 'revokedAt', 'revocationReason'],
};

const apply = (client: ClientDocument | undefined, event: FollowedEvent): ClientDocument => {
  if (event.type === 'ConsumerClientCreated' && client === undefined) {
    const { clientId, workspaceId, name, authenticationType, createdAt } = event.data;
    return {
      ...{ clientId, workspaceId, name, authenticationType, status: 'ACTIVE', createdAt },
      ...descriptionIn(event.data),
      credentials: [credentialIn(1, createdAt, event.data)],
      subscriptions: [],
      ...searchFieldsOf(name),
      subscriptionIds: [],
    };
  }
  if (event.type === 'ConsumerClientCreated' || client?.status !== 'ACTIVE') {
    throw new Error(`${event.type} of a client that is ${client?.status ?? 'unknown'}`);
  }
  switch (event.type) {
    case 'ConsumerClientRenamed':
      return { ...client, name: event.data.name, ...searchFieldsOf(event.data.name) };
    case 'ConsumerClientDescribed': {
      const { description: _, externalId: __, ...others } = client;
      return { ...others, ...descriptionIn(event.data) };
    }
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
    // These events change no field of the document. They change only the document's revision, with which `If-Match` is
    // compared.
    case 'ConsumerClientStaticTokenIssued':
    case 'ConsumerClientTokenRevoked':
    case 'ConsumerClientTokensEnded':
      return client;
    default:
      throw new Error(`${event.type} is no event of a client`);
  }
};

const searchFieldsOf = (name: string) => {
  const nameKey = searchKey(name);
  return { nameKey, nameGrams: gramsOf(nameKey) };
};

const descriptionIn = ({ description, labels = {}, externalId }: ClientDescription) => ({
  ...(description !== undefined && { description }),
  labels: Object.entries(labels)
    .map(([key, value]) => ({ key, value }))
    .sort((a, b) => (a.key < b.key ? -1 : 1)),
  labelPairs: Object.entries(labels)
    .map(([key, value]) => `${key}:${value}`)
    .sort(),
  ...(externalId !== undefined && { externalId }),
});

const credentialIn = (
  generation: number,
  createdAt: Instant,
  { hint, expiresAt }: Pick<CredentialDocument, 'hint' | 'expiresAt'>,
): CredentialDocument => ({
  ...{ generation, createdAt },
  ...(hint !== undefined && { hint }),
  ...(expiresAt !== undefined && { expiresAt }),
});

const rotated = (
  credentials: readonly CredentialDocument[],
  data: DataOf<ConsumerClientEvent, 'ConsumerClientSecretRotated'>,
): CredentialDocument[] => {
  const { generation, rotatedAt, previousExpiresAt } = data;
  const overlapping = rotatedAt < previousExpiresAt ? credentials.slice(-1) : [];
  return [
    ...overlapping.map((previous) => ({ ...previous, expiresAt: previousExpiresAt })),
    credentialIn(generation, rotatedAt, data),
  ];
};

const without = (client: ClientDocument, subscriptionId: SubscriptionId) =>
  client.subscriptions.filter((assignment) => assignment.subscriptionId !== subscriptionId);

const withSubscriptions = (client: ClientDocument, subscriptions: Assignment[]): ClientDocument => ({
  ...client,
  subscriptions,
  subscriptionIds: subscriptions.map(({ subscriptionId }) => subscriptionId),
});

/** One document per client. The documents form the tables of active and revoked clients. */
export const clients: ReadModel<ClientDocument, typeof list> = {
  name: 'clients',
  version: 4,
  streams: ['consumerClient-'],
  indexes: [
    ...Object.values(list.sorts).flatMap((sort) => [
      [...table, sort],
      [...table, 'authenticationType', sort],
    ]),
    [...table, 'externalId', list.sorts.createdAt],
  ],
  arrayIndexes: Object.values(list.contains),
  gramIndexes: [nameGrams],
  document,
  views: [
    { name: 'active_clients', equals: { status: 'ACTIVE' } },
    { name: 'revoked_clients', equals: { status: 'REVOKED' } },
  ],
  list,
  documentsOf: (event) => {
    const clientId = clientIdOf(event.stream);
    return clientId === undefined ? [] : [clientId];
  },
  streamOf: consumerClient.stream,
  apply,
};
