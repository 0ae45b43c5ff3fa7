import { IsUUID } from 'class-validator';
import { MAX_REASON_LENGTH } from '#domain';
import type { LogCreated } from '../log-created.js';
import type { LogSealed, LogUnsealed } from '../log-seal.js';
import { IsInstant, IsText } from './fields.js';
import type { VersionsOf } from './versions.js';

type Created = LogCreated['data'];
type Sealed = LogSealed['data'];
type Unsealed = LogUnsealed['data'];

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

export const logVersions: VersionsOf<LogCreated | LogSealed | LogUnsealed> = {
  LogCreated: [{ schema: LogCreatedV1 }],
  LogSealed: [{ schema: LogSealedV1 }],
  LogUnsealed: [{ schema: LogUnsealedV1 }],
};
