import {
  type ClientDocument,
  type CredentialDocument,
  type HistoryDocument,
  type SubscriptionDocument,
  clients,
  history,
  subscriptions,
} from '#read-models';

/** The part of MongoDB's JSON schema that the documents need. */
export interface FieldSchema {
  readonly bsonType: 'string' | 'int' | 'long' | 'object' | 'array';
  readonly enum?: readonly string[];
  readonly items?: FieldSchema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly additionalProperties?: boolean;
}

type Properties<Doc> = Readonly<Record<keyof Doc & string, FieldSchema>>;

const string: FieldSchema = { bsonType: 'string' };
const int: FieldSchema = { bsonType: 'int' };
const oneOf = (...values: string[]): FieldSchema => ({ bsonType: 'string', enum: values });
const arrayOf = (items: FieldSchema): FieldSchema => ({ bsonType: 'array', items });

/** Every field by its name, so that the compiler asks for each; a document with any other is refused. */
const objectOf = <Doc>(properties: Properties<Doc>, optional: readonly (keyof Doc & string)[] = []): FieldSchema => ({
  bsonType: 'object',
  required: Object.keys(properties).filter((field) => !optional.some((name) => name === field)),
  properties,
  additionalProperties: false,
});

/** A read model's own fields, and what the store adds to each document. */
const storedOf = <Doc>(properties: Properties<Doc>, optional: readonly (keyof Doc & string)[]): FieldSchema =>
  objectOf<Record<string, unknown>>(
    { _id: string, _position: string, _revision: { bsonType: 'long' }, ...properties },
    optional,
  );

const client = storedOf<ClientDocument>(
  {
    clientId: string,
    workspaceId: string,
    name: string,
    authenticationType: oneOf('API_KEY', 'OAUTH2'),
    status: oneOf('ACTIVE', 'REVOKED'),
    createdAt: string,
    lastUsedAt: string,
    revokedAt: string,
    revocationReason: string,
    credentials: arrayOf(
      objectOf<CredentialDocument>({ generation: int, createdAt: string, expiresAt: string }, ['expiresAt']),
    ),
    subscriptions: arrayOf(
      objectOf<ClientDocument['subscriptions'][number]>({
        subscriptionId: string,
        endpointUri: string,
        serviceName: string,
        assignedAt: string,
      }),
    ),
    nameKey: string,
    subscriptionIds: arrayOf(string),
  },
  ['lastUsedAt', 'revokedAt', 'revocationReason'],
);

const subscription = storedOf<SubscriptionDocument>(
  {
    subscriptionId: string,
    workspaceId: string,
    endpointUri: string,
    serviceName: string,
    status: oneOf('LIVE', 'ENDED'),
    registeredAt: string,
    endedAt: string,
    endReason: string,
    serviceNameKey: string,
  },
  ['endedAt', 'endReason'],
);

/** Open: an event is kept as it was stored, whatever its metadata come to hold. */
const historicEvent: FieldSchema = {
  ...storedOf<HistoryDocument>(
    {
      clientId: string,
      revision: string,
      revisionKey: string,
      eventId: string,
      type: string,
      data: { bsonType: 'object' },
      commandId: string,
      commandHash: string,
      actor: {
        ...objectOf<HistoryDocument['actor']>({ subject: string, roles: arrayOf(string), via: string }),
        additionalProperties: true,
      },
      workspaceId: string,
      correlationId: string,
      causationId: string,
      schemaVersion: int,
      occurredAt: string,
      previousHash: string,
      hash: string,
    },
    ['workspaceId'],
  ),
  additionalProperties: true,
};

const schemas = [
  { ...clients, schema: client },
  { ...subscriptions, schema: subscription },
  { ...history, schema: historicEvent },
];

/** What MongoDB is to refuse of a projection's documents; `undefined` for one that is not documented. */
export function validatorOf(name: string, version: number): { readonly $jsonSchema: FieldSchema } | undefined {
  const found = schemas.find((each) => each.name === name && each.version === version);
  return found && { $jsonSchema: found.schema };
}
