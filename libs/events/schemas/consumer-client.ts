import { ArrayMaxSize, IsArray, IsIn, IsInt, IsObject, Max, Min } from 'class-validator';
import {
  type AuthenticationType,
  type ClientId,
  type ConsumerClientEvent,
  type DataOf,
  type Labels,
  MAX_DESCRIPTION_LENGTH,
  MAX_NAME_LENGTH,
  MAX_OVERLAP_SECONDS,
  MAX_REASON_LENGTH,
  MAX_SUBSCRIPTIONS,
  type ReplacedTokens,
  type RevokedTokenKind,
  secondsAfter,
  type StaticTokenPeriod,
  type UnassignmentReason,
} from '#domain';
import { NotDuringUpgrade } from '../errors.js';
import {
  IsClientId,
  IsEndpointUri,
  IsExternalId,
  IsHint,
  IsInstant,
  IsLabels,
  IsOwnId,
  IsSubscriptionId,
  IsText,
  IsVerifier,
  IsWorkspaceId,
  MayBeAbsent,
} from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends ConsumerClientEvent['type']> = DataOf<ConsumerClientEvent, Type>;

class ConsumerClientCreatedV1 implements Data<'ConsumerClientCreated'> {
  @IsClientId() clientId!: ClientId;
  @IsWorkspaceId() workspaceId!: string;
  @IsText(MAX_NAME_LENGTH) name!: string;
  @IsIn(['API_KEY', 'OAUTH2']) authenticationType!: AuthenticationType;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() createdAt!: string;
}

/** Version 1 had no hint, no expiry and no description. In later versions, they may be absent. */
class ConsumerClientCreatedV2 extends ConsumerClientCreatedV1 implements Data<'ConsumerClientCreated'> {
  @MayBeAbsent() @IsHint() hint?: string;
  @MayBeAbsent() @IsInstant() expiresAt?: string;
  @MayBeAbsent() @IsText(MAX_DESCRIPTION_LENGTH) description?: string;
  @MayBeAbsent() @IsLabels() labels?: Labels;
  @MayBeAbsent() @IsExternalId() externalId?: string;
}

const unchanged = <T>(data: T): T => data;

/**
 * Returns the data in the version without these fields. The hint alone is left out: the release before records none.
 * Throws `NotDuringUpgrade` if the data has another of the fields, which can't be left out.
 */
const withoutNewFields =
  (...fields: readonly string[]) =>
  ({ hint: _, ...data }: Readonly<Record<string, unknown>>): object => {
    const needed = fields.find((field) => field in data);
    if (needed !== undefined) throw new NotDuringUpgrade(needed);
    return data;
  };

class ConsumerClientDescribedV1 implements Data<'ConsumerClientDescribed'> {
  @MayBeAbsent() @IsText(MAX_DESCRIPTION_LENGTH) description?: string;
  @MayBeAbsent() @IsLabels() labels?: Labels;
  @MayBeAbsent() @IsExternalId() externalId?: string;
}

class ConsumerClientRenamedV1 implements Data<'ConsumerClientRenamed'> {
  @IsText(MAX_NAME_LENGTH) name!: string;
}

/** Version 1 held the length of the overlap. Later versions hold the end of the overlap. */
class ConsumerClientSecretRotatedV1 {
  @IsInt() @Min(2) generation!: number;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() rotatedAt!: string;
  @IsInt() @Min(0) @Max(MAX_OVERLAP_SECONDS) overlapSeconds!: number;
}

const withPreviousExpiresAt = ({
  overlapSeconds,
  ...data
}: ConsumerClientSecretRotatedV1): Data<'ConsumerClientSecretRotated'> => ({
  ...data,
  previousExpiresAt: secondsAfter(data.rotatedAt, overlapSeconds),
});

class ConsumerClientSecretRotatedV2 {
  @IsInt() @Min(2) generation!: number;
  @IsVerifier() verifier!: string;
  @MayBeAbsent() @IsOwnId() draftId?: string;
  @IsInstant() rotatedAt!: string;
  @IsInstant() previousExpiresAt!: string;
}

/** Version 2 had no hint and no expiry. In later versions, they may be absent. */
class ConsumerClientSecretRotatedV3
  extends ConsumerClientSecretRotatedV2
  implements Data<'ConsumerClientSecretRotated'>
{
  @MayBeAbsent() @IsHint() hint?: string;
  @MayBeAbsent() @IsInstant() expiresAt?: string;
}

class ConsumerClientCredentialRetiredV1 implements Data<'ConsumerClientCredentialRetired'> {
  @IsInt() @Min(1) generation!: number;
  @IsInstant() retiredAt!: string;
}

class ConsumerClientAssignedToSubscriptionV1 implements Data<'ConsumerClientAssignedToSubscription'> {
  @IsSubscriptionId() subscriptionId!: string;
  @IsEndpointUri() endpointUri!: string;
  @IsText(100) serviceName!: string;
  @IsInstant() assignedAt!: string;
}

class ConsumerClientUnassignedFromSubscriptionV1 implements Data<'ConsumerClientUnassignedFromSubscription'> {
  @IsSubscriptionId() subscriptionId!: string;
  @IsIn(['REQUESTED', 'SUBSCRIPTION_ENDED']) reason!: UnassignmentReason;
}

/** With version 1, the new token ended the earlier ones of its generation and scope. */
class ConsumerClientStaticTokenIssuedV1 implements StaticTokenPeriod {
  @IsInt() @Min(1) generation!: number;
  @MayBeAbsent() @IsSubscriptionId() subscriptionId?: string;
  @IsOwnId() jti!: string;
  @IsOwnId() kid!: string;
  @IsInstant() issuedAt!: string;
  @IsInstant() expiresAt!: string;
  @IsObject() header!: Readonly<Record<string, unknown>>;
  @IsObject() claims!: Readonly<Record<string, unknown>>;
}

class ConsumerClientStaticTokenIssuedV2
  extends ConsumerClientStaticTokenIssuedV1
  implements Data<'ConsumerClientStaticTokenIssued'>
{
  @IsIn(['ENDED', 'KEPT']) replacedTokens!: ReplacedTokens;
}

const withReplacedTokensEnded = (period: StaticTokenPeriod): Data<'ConsumerClientStaticTokenIssued'> => ({
  ...period,
  replacedTokens: 'ENDED',
});

const withoutReplacedTokens = ({
  replacedTokens: _,
  ...period
}: Data<'ConsumerClientStaticTokenIssued'>): StaticTokenPeriod => period;

class ConsumerClientTokenRevokedV1 implements Data<'ConsumerClientTokenRevoked'> {
  @IsIn(['ACCESS_TOKEN', 'REFRESH_FAMILY', 'STATIC_TOKEN']) kind!: RevokedTokenKind;
  @IsOwnId() tokenId!: string;
  @IsInstant() issuedAt!: string;
  @IsInstant() revokedAt!: string;
  @IsInstant() expiresAt!: string;
}

class ConsumerClientTokensEndedV1 implements Data<'ConsumerClientTokensEnded'> {
  @IsInstant() issuedUpTo!: string;
  @IsInstant() endedAt!: string;
}

class ConsumerClientRevokedV1 implements Data<'ConsumerClientRevoked'> {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsArray() @ArrayMaxSize(MAX_SUBSCRIPTIONS) @IsSubscriptionId({ each: true }) subscriptions!: string[];
  @IsInstant() revokedAt!: string;
}

export const consumerClientVersions: VersionsOf<ConsumerClientEvent> = {
  ConsumerClientCreated: [
    { schema: ConsumerClientCreatedV1, sensitive: ['verifier'], upcast: unchanged },
    {
      schema: ConsumerClientCreatedV2,
      sensitive: ['verifier'],
      downcast: withoutNewFields('expiresAt', 'description', 'labels', 'externalId'),
    },
  ],
  ConsumerClientRenamed: [{ schema: ConsumerClientRenamedV1 }],
  ConsumerClientDescribed: [
    { schema: ConsumerClientDescribedV1, newTypeFields: ['description', 'labels', 'externalId'] },
  ],
  ConsumerClientSecretRotated: [
    { schema: ConsumerClientSecretRotatedV1, sensitive: ['verifier'], upcast: withPreviousExpiresAt },
    { schema: ConsumerClientSecretRotatedV2, sensitive: ['verifier'], upcast: unchanged },
    {
      schema: ConsumerClientSecretRotatedV3,
      sensitive: ['verifier'],
      downcast: withoutNewFields('expiresAt'),
    },
  ],
  ConsumerClientCredentialRetired: [{ schema: ConsumerClientCredentialRetiredV1 }],
  ConsumerClientAssignedToSubscription: [{ schema: ConsumerClientAssignedToSubscriptionV1 }],
  ConsumerClientUnassignedFromSubscription: [{ schema: ConsumerClientUnassignedFromSubscriptionV1 }],
  ConsumerClientStaticTokenIssued: [
    { schema: ConsumerClientStaticTokenIssuedV1, upcast: withReplacedTokensEnded },
    { schema: ConsumerClientStaticTokenIssuedV2, downcast: withoutReplacedTokens },
  ],
  ConsumerClientTokenRevoked: [{ schema: ConsumerClientTokenRevokedV1 }],
  ConsumerClientTokensEnded: [{ schema: ConsumerClientTokensEndedV1 }],
  ConsumerClientRevoked: [{ schema: ConsumerClientRevokedV1 }],
};
