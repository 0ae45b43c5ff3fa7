import { IsUUID } from 'class-validator';
import { MAX_REASON_LENGTH } from '#domain';
import type { LogAdopted } from '../log-adopted.js';
import type { LogCreated } from '../log-created.js';
import type { LogSealed, LogUnsealed } from '../log-seal.js';
import { IsInstant, IsOwnId, IsText } from './fields.js';
import type { VersionsOf } from './versions.js';

type Created = LogCreated['data'];
type Sealed = LogSealed['data'];
type Unsealed = LogUnsealed['data'];
type Adopted = LogAdopted['data'];

class LogCreatedV1 implements Created {
  @IsUUID() logId!: string;
  @IsInstant() createdAt!: string;
}

class LogSealedV1 implements Sealed {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() sealedAt!: string;
}

class LogUnsealedV1 implements Unsealed {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() unsealedAt!: string;
}

class LogAdoptedV1 implements Adopted {
  @IsOwnId() position!: string;
  @IsUUID() eventId!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() adoptedAt!: string;
}

export const logVersions: VersionsOf<LogCreated | LogSealed | LogUnsealed | LogAdopted> = {
  LogCreated: [{ schema: LogCreatedV1 }],
  LogSealed: [{ schema: LogSealedV1 }],
  LogUnsealed: [{ schema: LogUnsealedV1 }],
  LogAdopted: [{ schema: LogAdoptedV1 }],
};
