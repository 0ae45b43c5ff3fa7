import { IsIn, IsObject } from 'class-validator';
import {
  type DataOf,
  LOG_KEY_PURPOSES,
  type LogKeyPurpose,
  type SigningAlgorithm,
  type SigningKeysEvent,
} from '#domain';
import { IsEncoded, IsInstant, IsOwnId } from './fields.js';
import type { VersionsOf } from './versions.js';

type Data<Type extends SigningKeysEvent['type']> = DataOf<SigningKeysEvent, Type>;

const MAX_WRAPPED_KEY_LENGTH = 8192;

class MasterKeyCheckRecordedV1 implements Data<'MasterKeyCheckRecorded'> {
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(256) check!: string;
  @IsInstant() recordedAt!: string;
}

class SigningKeyPublishedV1 implements Data<'SigningKeyPublished'> {
  @IsOwnId() kid!: string;
  @IsIn(['EdDSA', 'RS256']) alg!: SigningAlgorithm;
  @IsObject() publicJwk!: Readonly<Record<string, unknown>>;
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(MAX_WRAPPED_KEY_LENGTH) wrappedKey!: string;
  @IsInstant() publishedAt!: string;
}

class SigningKeyActivatedV1 implements Data<'SigningKeyActivated'> {
  @IsOwnId() kid!: string;
  @IsInstant() activatedAt!: string;
}

class SigningKeyRetiredV1 implements Data<'SigningKeyRetired'> {
  @IsOwnId() kid!: string;
  @IsInstant() retiredAt!: string;
}

class SigningKeyCompromisedV1 implements Data<'SigningKeyCompromised'> {
  @IsOwnId() kid!: string;
  @IsInstant() compromisedAt!: string;
}

class SigningKeyRewrappedV1 implements Data<'SigningKeyRewrapped'> {
  @IsOwnId() kid!: string;
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(MAX_WRAPPED_KEY_LENGTH) wrappedKey!: string;
}

class LogKeyPublishedV1 implements Data<'LogKeyPublished'> {
  @IsOwnId() kid!: string;
  @IsIn(LOG_KEY_PURPOSES) purpose!: LogKeyPurpose;
  @IsEncoded(44) publicKey!: string;
  @IsOwnId() masterKeyId!: string;
  @IsEncoded(MAX_WRAPPED_KEY_LENGTH) wrappedKey!: string;
  @IsInstant() publishedAt!: string;
}

export const signingKeysVersions: VersionsOf<SigningKeysEvent> = {
  MasterKeyCheckRecorded: [{ schema: MasterKeyCheckRecordedV1 }],
  SigningKeyPublished: [{ schema: SigningKeyPublishedV1, sensitive: ['wrappedKey'] }],
  SigningKeyActivated: [{ schema: SigningKeyActivatedV1 }],
  SigningKeyRetired: [{ schema: SigningKeyRetiredV1 }],
  SigningKeyCompromised: [{ schema: SigningKeyCompromisedV1 }],
  SigningKeyRewrapped: [{ schema: SigningKeyRewrappedV1, sensitive: ['wrappedKey'] }],
  LogKeyPublished: [{ schema: LogKeyPublishedV1, sensitive: ['wrappedKey'], newTypeFields: [] }],
};
