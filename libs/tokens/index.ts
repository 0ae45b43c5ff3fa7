export {
  type AccessToken,
  type AccessTokenClaims,
  epochSeconds,
  FAMILY_SECONDS,
  familyEnd,
  familyOf,
  instantOf,
  issueAccessToken,
  type RefreshFamily,
  type TokenGrant,
} from './access-token.js';
export { AdminTokenFile, adminTokenPath } from './admin-token-file.js';
export { BootstrapIssuer, managementTokenTimes } from './bootstrap-issuer.js';
export { MAX_TOKEN_BYTES, signCompact, type TokenSigner, TokenTooLarge } from './jwt-signing.js';
export { isManagementScope, MANAGEMENT_SCOPES, type ManagementScope } from './management-scope.js';
export {
  type EndedTokens,
  expiryOf,
  InvalidManagementToken,
  type ManagementIdentityProvider,
  ManagementIssuerUnavailable,
  type ManagementPrincipal,
  ManagementTokenVerifier,
  MAX_SUBJECT_LENGTH,
} from './management-tokens.js';
export { isRefreshable, REFRESH_TOKEN_SECONDS, type RefreshToken, RefreshTokens } from './refresh-token.js';
export { SigningKeyOperations } from './signing-key-operations.js';
export {
  type JsonWebKeySet,
  jwksOf,
  lastTokenEnd,
  MasterKeyMismatch,
  requireFittingMasterKeys,
  SigningKeyRing,
  SigningKeyUnusable,
} from './signing-key-ring.js';
export {
  type DecidingStates,
  isCompromised,
  isFamilyRevoked,
  type Standing,
  standingOf,
  type TokenRefusal,
} from './standing.js';
export { signStaticToken, STATIC_TOKEN_SECONDS, staticTokenPeriod } from './static-token.js';
export { TokenVerifier, type VerifiedToken } from './token-verifier.js';
