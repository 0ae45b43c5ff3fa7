import { MAX_REASON_LENGTH } from '#domain';
import { IsUUID } from 'class-validator';
import type { LogCreated } from '../log-created.js';
import type { LogSealed, LogUnsealed } from '../log-seal.js';
import { IsInstant, IsText } from './fields.js';

type Created = LogCreated['data'];
type Sealed = LogSealed['data'];
type Unsealed = LogUnsealed['data'];

export class LogCreatedV1 implements Created {
  @IsUUID() logId!: string;
  @IsInstant() createdAt!: string;
}

export class LogSealedV1 implements Sealed {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() sealedAt!: string;
}

export class LogUnsealedV1 implements Unsealed {
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() unsealedAt!: string;
}
