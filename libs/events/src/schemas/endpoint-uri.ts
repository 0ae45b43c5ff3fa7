import type { EndpointUriClaimed } from '#domain';
import { IsUUID } from 'class-validator';
import { IsEndpointUri, IsInstant, IsSubscriptionId, IsWorkspaceId } from './fields.js';

type Claimed = EndpointUriClaimed['data'];

export class EndpointUriClaimedV1 implements Claimed {
  @IsEndpointUri() endpointUri!: string;
  @IsWorkspaceId() workspaceId!: string;
  @IsSubscriptionId() subscriptionId!: string;
  @IsUUID() commandId!: string;
  @IsInstant() claimedAt!: string;
}
