import { ArrayMaxSize, IsArray, IsIn, IsUUID, Matches } from 'class-validator';
import { type DataOf, MAX_REASON_LENGTH, type WorkspaceId } from '#domain';
import { type OperatorAct, SIGNING_KEY_OPERATIONS, type SigningKeyOperation } from '../operator-acts.js';
import { IsInstant, IsText, IsWorkspaceId, MayBeAbsent } from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends OperatorAct['type']> = DataOf<OperatorAct, Type>;

const MAX_SUBJECT_LENGTH = 255;
const MAX_SCOPES = 50;

class AdministratorTokenRotatedV1 implements Data<'AdministratorTokenRotated'> {
  @IsInstant() rotatedAt!: string;
  @MayBeAbsent() @IsText(MAX_REASON_LENGTH) reason?: string;
}

class ManagementTokenIssuedV1 implements Data<'ManagementTokenIssued'> {
  @IsUUID() tokenId!: string;
  @IsText(MAX_SUBJECT_LENGTH) tokenSubject!: string;
  @IsArray() @ArrayMaxSize(MAX_SCOPES) @Matches(/^[!#-[\]-~]{1,64}$/, { each: true }) scopes!: readonly string[];
  @MayBeAbsent() @IsWorkspaceId() workspaceId?: WorkspaceId;
  @IsInstant() issuedAt!: string;
  @IsInstant() expiresAt!: string;
  @MayBeAbsent() @IsText(MAX_REASON_LENGTH) reason?: string;
}

class ManagementTokenEndedV1 implements Data<'ManagementTokenEnded'> {
  @IsUUID() tokenId!: string;
  @IsInstant() endedAt!: string;
  @MayBeAbsent() @IsText(MAX_REASON_LENGTH) reason?: string;
}

class SigningKeysOperatedV1 implements Data<'SigningKeysOperated'> {
  @IsIn(SIGNING_KEY_OPERATIONS) operation!: SigningKeyOperation;
  @IsArray() @Matches(/^[A-Za-z0-9_-]{1,128}$/, { each: true }) kids!: readonly string[];
  @IsInstant() operatedAt!: string;
  @MayBeAbsent() @IsText(MAX_REASON_LENGTH) reason?: string;
}

export const operatorActVersions: VersionsOf<OperatorAct> = {
  AdministratorTokenRotated: [{ schema: AdministratorTokenRotatedV1 }],
  ManagementTokenIssued: [{ schema: ManagementTokenIssuedV1 }],
  ManagementTokenEnded: [{ schema: ManagementTokenEndedV1 }],
  SigningKeysOperated: [{ schema: SigningKeysOperatedV1 }],
};
