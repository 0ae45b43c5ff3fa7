import { type DataOf, MAX_REASON_LENGTH, type SubscriptionEvent } from '#domain';
import { IsEndpointUri, IsInstant, IsSubscriptionId, IsText, IsWorkspaceId } from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends SubscriptionEvent['type']> = DataOf<SubscriptionEvent, Type>;

class SubscriptionRegisteredV1 implements Data<'SubscriptionRegistered'> {
  @IsSubscriptionId() subscriptionId!: string;
  @IsWorkspaceId() workspaceId!: string;
  @IsEndpointUri() endpointUri!: string;
  @IsText(100) serviceName!: string;
  @IsInstant() registeredAt!: string;
}

class SubscriptionEndedV1 implements Data<'SubscriptionEnded'> {
  @IsSubscriptionId() subscriptionId!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() endedAt!: string;
}

export const subscriptionVersions: VersionsOf<SubscriptionEvent> = {
  SubscriptionRegistered: [{ schema: SubscriptionRegisteredV1 }],
  SubscriptionEnded: [{ schema: SubscriptionEndedV1 }],
};
