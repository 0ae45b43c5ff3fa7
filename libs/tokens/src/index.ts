export {
  ACCESS_TOKEN_SECONDS,
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
export { AdminTokenFile } from './admin-token-file.js';
export {
  BOOTSTRAP_AUDIENCE,
  BOOTSTRAP_ISSUER,
  BootstrapIssuer,
  type ManagementTokenRequest,
  MAX_MANAGEMENT_TOKEN_SECONDS,
} from './bootstrap-issuer.js';
export { MAX_TOKEN_BYTES, signCompact, type TokenSigner, TokenTooLarge } from './jwt-signing.js';
export {
  type ExternalIssuer,
  InvalidManagementToken,
  type ManagementIdentityProvider,
  ManagementIssuerUnavailable,
  type ManagementPrincipal,
  ManagementTokenVerifier,
} from './management-tokens.js';
export { isManagementScope, type ManagementScope, MANAGEMENT_SCOPES } from './management-scope.js';
export { isRefreshable, RefreshTokens, REFRESH_TOKEN_SECONDS, type RefreshToken } from './refresh-token.js';
export { SigningKeyOperations } from './signing-key-operations.js';
export {
  type JsonWebKeySet,
  jwksOf,
  lastTokenEnd,
  MasterKeyMismatch,
  requireFittingMasterKeys,
  SigningKeyRing,
  type SigningKeyRingOptions,
  SigningKeyUnusable,
} from './signing-key-ring.js';
export { signStaticToken, STATIC_TOKEN_SECONDS, staticTokenPeriod } from './static-token.js';
export {
  type DecidingStates,
  isCompromised,
  isFamilyRevoked,
  type Standing,
  standingOf,
  type TokenRefusal,
} from './standing.js';
export { TokenVerifier, type VerifiedToken } from './token-verifier.js';
