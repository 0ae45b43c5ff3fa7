import {
  type AuthenticationType,
  type ClientId,
  type ConsumerClientAssignedToSubscription,
  type ConsumerClientCreated,
  type ConsumerClientCredentialRetired,
  type ConsumerClientRenamed,
  type ConsumerClientRevoked,
  type ConsumerClientSecretRotated,
  type ConsumerClientTokenRevoked,
  type ConsumerClientTokensEnded,
  type ConsumerClientUnassignedFromSubscription,
  MAX_NAME_LENGTH,
  MAX_OVERLAP_SECONDS,
  MAX_REASON_LENGTH,
  MAX_SUBSCRIPTIONS,
  type RevokedTokenKind,
  type StaticTokenPeriod,
  type UnassignmentReason,
} from '#domain';
import { ArrayMaxSize, IsArray, IsIn, IsInt, IsObject, Max, Min } from 'class-validator';
import {
  IsClientId,
  IsEndpointUri,
  IsInstant,
  IsOwnId,
  IsSubscriptionId,
  IsText,
  IsVerifier,
  IsWorkspaceId,
  MayBeAbsent,
} from './fields.js';

type Created = ConsumerClientCreated['data'];
type Renamed = ConsumerClientRenamed['data'];
type SecretRotated = ConsumerClientSecretRotated['data'];
type CredentialRetired = ConsumerClientCredentialRetired['data'];
type Assigned = ConsumerClientAssignedToSubscription['data'];
type Unassigned = ConsumerClientUnassignedFromSubscription['data'];
type TokenRevoked = ConsumerClientTokenRevoked['data'];
type TokensEnded = ConsumerClientTokensEnded['data'];
type Revoked = ConsumerClientRevoked['data'];

export class ConsumerClientCreatedV1 implements Created {
  @IsClientId() clientId!: ClientId;
  @IsWorkspaceId() workspaceId!: string;
  @IsText(MAX_NAME_LENGTH) name!: string;
  @IsIn(['API_KEY', 'OAUTH2']) authenticationType!: AuthenticationType;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() createdAt!: string;
}

export class ConsumerClientRenamedV1 implements Renamed {
  @IsText(MAX_NAME_LENGTH) name!: string;
}

/** Carried the length of the overlap, not its end. */
export class ConsumerClientSecretRotatedV1 {
  @IsInt() @Min(2) generation!: number;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() rotatedAt!: string;
  @IsInt() @Min(0) @Max(MAX_OVERLAP_SECONDS) overlapSeconds!: number;
}

export class ConsumerClientSecretRotatedV2 implements SecretRotated {
  @IsInt() @Min(2) generation!: number;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() rotatedAt!: string;
  @IsInstant() previousExpiresAt!: string;
}

export class ConsumerClientCredentialRetiredV1 implements CredentialRetired {
  @IsInt() @Min(1) generation!: number;
  @IsInstant() retiredAt!: string;
}

export class ConsumerClientAssignedToSubscriptionV1 implements Assigned {
  @IsSubscriptionId() subscriptionId!: string;
  @IsEndpointUri() endpointUri!: string;
  @IsText(100) serviceName!: string;
  @IsInstant() assignedAt!: string;
}

export class ConsumerClientUnassignedFromSubscriptionV1 implements Unassigned {
  @IsSubscriptionId() subscriptionId!: string;
  @IsIn(['REQUESTED', 'SUBSCRIPTION_ENDED']) reason!: UnassignmentReason;
}

export class ConsumerClientStaticTokenIssuedV1 implements StaticTokenPeriod {
  @IsInt() @Min(1) generation!: number;
  @MayBeAbsent() @IsSubscriptionId() subscriptionId?: string;
  @IsOwnId() jti!: string;
  @IsOwnId() kid!: string;
  @IsInstant() issuedAt!: string;
  @IsInstant() expiresAt!: string;
  @IsObject() header!: Readonly<Record<string, unknown>>;
  @IsObject() claims!: Readonly<Record<string, unknown>>;
}

export class ConsumerClientTokenRevokedV1 implements TokenRevoked {
  @IsIn(['ACCESS_TOKEN', 'REFRESH_FAMILY', 'STATIC_TOKEN']) kind!: RevokedTokenKind;
  @IsOwnId() tokenId!: string;
  @IsInstant() issuedAt!: string;
  @IsInstant() revokedAt!: string;
  @IsInstant() expiresAt!: string;
}

export class ConsumerClientTokensEndedV1 implements TokensEnded {
  @IsInstant() issuedUpTo!: string;
  @IsInstant() endedAt!: string;
}

export class ConsumerClientRevokedV1 implements Revoked {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsArray() @ArrayMaxSize(MAX_SUBSCRIPTIONS) @IsSubscriptionId({ each: true }) subscriptions!: string[];
  @IsInstant() revokedAt!: string;
}
