import { MAX_REASON_LENGTH, type SubscriptionEnded, type SubscriptionRegistered } from '#domain';
import { IsEndpointUri, IsInstant, IsSubscriptionId, IsText, IsWorkspaceId } from './fields.js';

type Registered = SubscriptionRegistered['data'];
type Ended = SubscriptionEnded['data'];

export class SubscriptionRegisteredV1 implements Registered {
  @IsSubscriptionId() subscriptionId!: string;
  @IsWorkspaceId() workspaceId!: string;
  @IsEndpointUri() endpointUri!: string;
  @IsText(100) serviceName!: string;
  @IsInstant() registeredAt!: string;
}

export class SubscriptionEndedV1 implements Ended {
  @IsSubscriptionId() subscriptionId!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() endedAt!: string;
}
