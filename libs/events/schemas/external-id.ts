import type { ClientId, DataOf, ExternalIdEvent } from '#domain';
import { IsClientId, IsExternalId, IsInstant, IsWorkspaceId } from './fields.js';
import type { VersionsOf } from './versions.js';

class ExternalIdClaimedV1 implements DataOf<ExternalIdEvent, 'ExternalIdClaimed'> {
  @IsExternalId() externalId!: string;
  @IsWorkspaceId() workspaceId!: string;
  @IsClientId() clientId!: ClientId;
  @IsInstant() claimedAt!: string;
}

export const externalIdVersions: VersionsOf<ExternalIdEvent> = {
  ExternalIdClaimed: [{ schema: ExternalIdClaimedV1, newTypeFields: ['externalId'] }],
};
