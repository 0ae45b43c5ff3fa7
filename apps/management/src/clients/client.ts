import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import type { ActiveClient, AuthenticationType, ConsumerClientState, Instant, Labels } from '#domain';
import { clientNotFound, consumerClient } from '#domain';
import type { QuarantinesInForce } from '#event-log';
import type { Revision } from '#events';
import type { DocumentOf, projections, UsageDocument } from '#read-models';
import { QUARANTINE_FIELD, quarantineOf, type QuarantineView } from '../requests/quarantine.js';
import { LABELS_FIELD } from './client-description.js';

@ApiSchema({ name: 'Credential' })
export class CredentialView {
  @ApiProperty({ type: 'integer', minimum: 1, example: 1, description: 'Numbered from 1; the highest is the newest' })
  generation!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  createdAt!: string;

  @ApiPropertyOptional({
    example: '7Kq2',
    description:
      'The first four characters after `ccs_` in the secret, to tell two secrets apart. Absent on the secrets of older releases',
  })
  hint?: string;

  @ApiPropertyOptional({
    format: 'date-time',
    description:
      'When it stops being good: at the end of its overlap, or at its own expiry, whichever is earlier. Absent on a newest generation without an expiry',
  })
  expiresAt?: string;

  @ApiPropertyOptional({
    format: 'date-time',
    example: '2026-11-25T14:30:00.000Z',
    description:
      'Latest login, refresh or call that a gateway let through, with this generation or a token that was issued for it. Tells when an overlap may end. As late, and absent in the same answers, as `lastUsedAt` of the client',
  })
  lastUsedAt?: string;
}

@ApiSchema({ name: 'Assignment' })
export class AssignmentView {
  @ApiProperty({ example: 'acme-weather' })
  subscriptionId!: string;

  @ApiProperty({ example: 'acme-weather' })
  endpointUri!: string;

  @ApiProperty({ example: 'Weather forecasts' })
  serviceName!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:05:00.000Z' })
  assignedAt!: string;
}

/** A consumer client in the form that the API returns. This form never contains a secret. */
@ApiSchema({ name: 'Client' })
export class ClientView {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ example: 'acme' })
  workspaceId!: string;

  @ApiProperty({ example: 'Forecast importer' })
  name!: string;

  @ApiPropertyOptional({ example: 'Imports the hourly forecasts into the planning system' })
  description?: string;

  @ApiProperty({ ...LABELS_FIELD, additionalProperties: { type: 'string' } })
  labels!: Labels;

  @ApiPropertyOptional({ example: 'crm-4711', description: 'Its id in another system' })
  externalId?: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  authenticationType!: AuthenticationType;

  @ApiProperty({ enum: ['ACTIVE', 'REVOKED'] })
  status!: 'ACTIVE' | 'REVOKED';

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  createdAt!: string;

  @ApiPropertyOptional({
    format: 'date-time',
    description:
      'Latest login, refresh or call that a gateway let through; up to a minute behind (longer after an outage of the event log), and not in the answers of commands. Absent if the client was never used',
  })
  lastUsedAt?: string;

  @ApiPropertyOptional({ format: 'date-time' })
  revokedAt?: string;

  @ApiPropertyOptional({ example: 'The importer was retired' })
  revocationReason?: string;

  @ApiProperty({
    type: [CredentialView],
    description: 'The newest (also after its expiry) and at most one in an overlap; none when revoked',
  })
  credentials!: CredentialView[];

  @ApiProperty({ type: [AssignmentView] })
  subscriptions!: AssignmentView[];

  @ApiPropertyOptional(QUARANTINE_FIELD)
  quarantine?: QuarantineView;

  @ApiProperty({ type: 'integer', minimum: 0, example: 3, description: 'Revision of the client, also its ETag' })
  revision!: number;
}

/** An active client, for the examples of the OpenAPI document. */
export const EXAMPLE_CLIENT: ClientView = {
  clientId: 'cc_4fT0kq9wZr1sVb7XyN2mLp',
  workspaceId: 'acme',
  name: 'Forecast importer',
  labels: { team: 'planning' },
  authenticationType: 'API_KEY',
  status: 'ACTIVE',
  createdAt: '2026-11-24T09:00:00.000Z',
  credentials: [{ generation: 1, createdAt: '2026-11-24T09:00:00.000Z', hint: 'Exam' }],
  subscriptions: [
    {
      subscriptionId: 'acme-weather',
      endpointUri: 'acme-weather',
      serviceName: 'Weather forecasts',
      assignedAt: '2026-11-24T09:05:00.000Z',
    },
  ],
  revision: 1,
};

/** The same client after its revocation. */
export const EXAMPLE_REVOKED_CLIENT: ClientView = {
  ...EXAMPLE_CLIENT,
  status: 'REVOKED',
  revokedAt: '2026-11-30T16:00:00.000Z',
  revocationReason: 'The importer was retired',
  credentials: [],
  subscriptions: [],
  revision: 2,
};

/**
 * Returns a client after a command, in the same form as the read model. Leaves out a credential whose overlap (the time
 * in which an old secret is valid beside the new one) has ended by `at`.
 */
export function clientView(state: ConsumerClientState, revision: Revision | undefined, at: Instant): ClientView {
  if (state.status === 'NONE' || revision === undefined) throw clientNotFound();
  const { clientId, workspaceId, name, authenticationType, createdAt } = state;
  const { description, labels = {}, externalId } = state;
  const identity = {
    ...{ clientId, workspaceId, name, authenticationType, createdAt, revision: Number(revision) },
    ...(description !== undefined && { description }),
    labels: Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))),
    ...(externalId !== undefined && { externalId }),
  };
  return state.status === 'ACTIVE'
    ? {
        ...identity,
        status: 'ACTIVE',
        credentials: credentials(state, at),
        subscriptions: [...state.subscriptions.values()],
      }
    : {
        ...identity,
        status: 'REVOKED',
        revokedAt: state.revokedAt,
        revocationReason: state.reason,
        credentials: [],
        subscriptions: [],
      };
}

const credentials = (state: ActiveClient, at: Instant): CredentialView[] =>
  shownAt(
    state.credentials.map(({ verifier: _, ...shown }) => shown),
    at,
  );

/** The newest generation, which is the last one, is shown also after its expiry: the client has no other secret. */
const shownAt = (credentials: readonly CredentialView[], at: Instant): CredentialView[] =>
  credentials.filter(
    ({ expiresAt }, index) => index === credentials.length - 1 || expiresAt === undefined || at < expiresAt,
  );

/**
 * Returns the API's form of a document of the `clients` read model, with the times of the client's `usage` document, if
 * there is one, and with its quarantine, if there is one. Leaves out the search fields, and a credential whose overlap
 * has ended by `at`.
 */
export function storedClientView(
  { doc, revision }: DocumentOf<typeof projections.clients>,
  usage: UsageDocument | undefined,
  quarantines: QuarantinesInForce,
  at: Instant,
): ClientView {
  const {
    nameKey: _,
    nameGrams: __,
    subscriptionIds: ___,
    labelPairs: ____,
    labels,
    credentials,
    subscriptions,
    ...client
  } = doc;
  return {
    ...client,
    labels: Object.fromEntries(labels.map(({ key, value }) => [key, value])),
    ...(usage && { lastUsedAt: usage.lastUsedAt }),
    credentials: shownAt(credentials, at).map((credential) => withLastUse(credential, usage)),
    subscriptions: [...subscriptions],
    ...quarantineOf(consumerClient.stream(client.clientId), quarantines),
    revision: Number(revision),
  };
}

function withLastUse(credential: CredentialView, usage: UsageDocument | undefined): CredentialView {
  const used = usage?.generations.find(({ generation }) => generation === credential.generation);
  return used ? { ...credential, lastUsedAt: used.lastUsedAt } : credential;
}
