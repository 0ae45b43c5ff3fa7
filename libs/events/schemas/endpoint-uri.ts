import { IsUUID } from 'class-validator';
import type { DataOf, EndpointUriEvent } from '#domain';
import { IsEndpointUri, IsInstant, IsSubscriptionId, IsWorkspaceId } from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends EndpointUriEvent['type']> = DataOf<EndpointUriEvent, Type>;

class EndpointUriClaimedV1 implements Data<'EndpointUriClaimed'> {
  @IsEndpointUri() endpointUri!: string;
  @IsWorkspaceId() workspaceId!: string;
  @IsSubscriptionId() subscriptionId!: string;
  @IsUUID() commandId!: string;
  @IsInstant() claimedAt!: string;
}

export const endpointUriVersions: VersionsOf<EndpointUriEvent> = {
  EndpointUriClaimed: [{ schema: EndpointUriClaimedV1 }],
};
