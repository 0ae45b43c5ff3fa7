import type {
  MasterKeyCheckRecorded,
  SigningAlgorithm,
  SigningKeyActivated,
  SigningKeyCompromised,
  SigningKeyPublished,
  SigningKeyRetired,
  SigningKeyRewrapped,
} from '#domain';
import { IsIn, IsObject } from 'class-validator';
import { IsEncoded, IsInstant, IsOwnId } from './fields.js';

type CheckRecorded = MasterKeyCheckRecorded['data'];
type Published = SigningKeyPublished['data'];
type Activated = SigningKeyActivated['data'];
type Retired = SigningKeyRetired['data'];
type Compromised = SigningKeyCompromised['data'];
type Rewrapped = SigningKeyRewrapped['data'];

const MAX_WRAPPED_KEY_LENGTH = 8192;

export class MasterKeyCheckRecordedV1 implements CheckRecorded {
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(256) check!: string;
  @IsInstant() recordedAt!: string;
}

export class SigningKeyPublishedV1 implements Published {
  @IsOwnId() kid!: string;
  @IsIn(['EdDSA', 'RS256']) alg!: SigningAlgorithm;
  @IsObject() publicJwk!: Readonly<Record<string, unknown>>;
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(MAX_WRAPPED_KEY_LENGTH) wrappedKey!: string;
  @IsInstant() publishedAt!: string;
}

export class SigningKeyActivatedV1 implements Activated {
  @IsOwnId() kid!: string;
  @IsInstant() activatedAt!: string;
}

export class SigningKeyRetiredV1 implements Retired {
  @IsOwnId() kid!: string;
  @IsInstant() retiredAt!: string;
}

export class SigningKeyCompromisedV1 implements Compromised {
  @IsOwnId() kid!: string;
  @IsInstant() compromisedAt!: string;
}

export class SigningKeyRewrappedV1 implements Rewrapped {
  @IsOwnId() kid!: string;
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(MAX_WRAPPED_KEY_LENGTH) wrappedKey!: string;
}
