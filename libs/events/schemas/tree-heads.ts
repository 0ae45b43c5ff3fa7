import { IsInt, Matches, Max, Min } from 'class-validator';
import { type DataOf, MAX_REASON_LENGTH } from '#domain';
import type { TreeHeadsEvent } from '../tree-heads.js';
import { IsInstant, IsText } from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends TreeHeadsEvent['type']> = DataOf<TreeHeadsEvent, Type>;

class TreeHeadSignedV1 implements Data<'TreeHeadSigned'> {
  @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) size!: number;
  @Matches(/^[A-Za-z0-9+/]{43}=$/) root!: string;
  @Matches(/^[^\s+]{1,512}\n[^]{1,65536}\n$/) note!: string;
}

class TreeOriginStartedV1 implements Data<'TreeOriginStarted'> {
  @Matches(/^[^\s+]{1,512}$/) origin!: string;
  @IsText(MAX_REASON_LENGTH) reason!: string;
  @IsInstant() startedAt!: string;
}

export const treeHeadsVersions: VersionsOf<TreeHeadsEvent> = {
  TreeHeadSigned: [{ schema: TreeHeadSignedV1, newTypeFields: [] }],
  TreeOriginStarted: [{ schema: TreeOriginStartedV1, newTypeFields: [] }],
};
