export { apiKeyOf, parseApiKey } from './api-key.js';
export { clientIdOfCommand, newClientId } from './client-id.js';
export { CredentialMint, MintingBusy } from './credential-mint.js';
export {
  CredentialVerifier,
  type CredentialVerifierOptions,
  type StoredCredential,
  VerificationBusy,
} from './credential-verifier.js';
export {
  type CredentialDraft,
  DRAFT_LIFETIME_SECONDS,
  type DraftExpectation,
  DraftExpired,
  DraftInvalid,
  openDraft,
  requireFitting,
  sealDraft,
} from './draft.js';
export { KeyUnwrapFailed, unwrapKey, wrapKey } from './key-wrapping.js';
export { MasterKeyInvalid, type MasterKeyPurpose, MasterKeys, MasterKeyUnknown } from './master-keys.js';
export type { RandomBytes } from './random.js';
export { hasGoodCheck, mintSecret } from './secret.js';
export { readableByOthers, secretInFile } from './secret-file.js';
export { hashSecret, masterKeyIdOf, verifySecret } from './verifier.js';
