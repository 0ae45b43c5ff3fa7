import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { ActiveClient, AuthenticationType, ConsumerClientState, Instant } from '#domain';
import { clientNotFound } from '#domain';
import type { Revision } from '#events';
import type { DocumentOf, clients } from '#read-models';

export class CredentialView {
  @ApiProperty({ example: 1, description: 'Numbered from 1; the highest is the newest' })
  generation!: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  createdAt!: string;

  @ApiPropertyOptional({ format: 'date-time', description: 'End of its overlap; absent on the newest generation' })
  expiresAt?: string;
}

export class AssignmentView {
  @ApiProperty({ example: 'sub_weather_1' })
  subscriptionId!: string;

  @ApiProperty({ example: 'weather' })
  endpointUri!: string;

  @ApiProperty({ example: 'Weather forecasts' })
  serviceName!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:05:00.000Z' })
  assignedAt!: string;
}

/** A consumer client as the API shows it: never with a secret. */
export class ClientView {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ example: 'acme' })
  workspaceId!: string;

  @ApiProperty({ example: 'Forecast importer' })
  name!: string;

  @ApiProperty({ enum: ['API_KEY', 'OAUTH2'] })
  authenticationType!: AuthenticationType;

  @ApiProperty({ enum: ['ACTIVE', 'REVOKED'] })
  status!: 'ACTIVE' | 'REVOKED';

  @ApiProperty({ format: 'date-time', example: '2026-11-24T09:00:00.000Z' })
  createdAt!: string;

  @ApiPropertyOptional({
    format: 'date-time',
    description:
      'Latest login, refresh or call that a gateway let through; up to a minute behind, and not in the answers of commands',
  })
  lastUsedAt?: string;

  @ApiPropertyOptional({ format: 'date-time' })
  revokedAt?: string;

  @ApiPropertyOptional({ example: 'The importer was retired' })
  revocationReason?: string;

  @ApiProperty({ type: [CredentialView], description: 'The newest and at most one in an overlap; none when revoked' })
  credentials!: CredentialView[];

  @ApiProperty({ type: [AssignmentView] })
  subscriptions!: AssignmentView[];

  @ApiProperty({ example: 3, description: 'Revision of the client, also its ETag' })
  revision!: number;
}

/** What a command left behind, in the shape that the read model has too. */
/** As it is at `at`: a credential whose overlap has ended is none. */
export function clientView(state: ConsumerClientState, revision: Revision | undefined, at: Instant): ClientView {
  if (state.status === 'NONE' || revision === undefined) throw clientNotFound();
  const { clientId, workspaceId, name, authenticationType, createdAt } = state;
  const identity = { clientId, workspaceId, name, authenticationType, createdAt, revision: Number(revision) };
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
  goodAt(
    state.credentials.map(({ verifier: _, ...shown }) => shown),
    at,
  );

const goodAt = (credentials: readonly CredentialView[], at: Instant): CredentialView[] =>
  credentials.filter(({ expiresAt }) => expiresAt === undefined || at < expiresAt);

/** A document of the `clients` read model without its search fields. */
export function storedClientView({ doc, revision }: DocumentOf<typeof clients>, at: Instant): ClientView {
  const { nameKey: _, subscriptionIds: __, credentials, subscriptions, ...client } = doc;
  return {
    ...client,
    credentials: goodAt(credentials, at),
    subscriptions: [...subscriptions],
    revision: Number(revision),
  };
}
