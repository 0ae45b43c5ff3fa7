import { IsInt, Min } from 'class-validator';
import { MAX_REASON_LENGTH } from '#domain';
import type { StreamQuarantined, StreamQuarantineLifted } from '../quarantine.js';
import { IsInstant, IsText, MayBeAbsent } from './fields.js';
import type { VersionsOf } from './versions.js';

type Quarantined = StreamQuarantined['data'];
type Lifted = StreamQuarantineLifted['data'];

const MAX_STREAM_LENGTH = 500;

class StreamQuarantinedV1 implements Quarantined {
  @IsText(MAX_STREAM_LENGTH) stream!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() quarantinedAt!: string;
  @MayBeAbsent() @IsInt() @Min(0) lastRevision?: number;
}

class StreamQuarantineLiftedV1 implements Lifted {
  @IsText(MAX_STREAM_LENGTH) stream!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() liftedAt!: string;
}

export const quarantineVersions: VersionsOf<StreamQuarantined | StreamQuarantineLifted> = {
  StreamQuarantined: [{ schema: StreamQuarantinedV1 }],
  StreamQuarantineLifted: [{ schema: StreamQuarantineLiftedV1 }],
};
