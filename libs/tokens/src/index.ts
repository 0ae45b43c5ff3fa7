export { ACCESS_TOKEN_SECONDS, type AccessToken, issueAccessToken, type TokenGrant } from './access-token.js';
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
export {
  type JsonWebKeySet,
  jwksOf,
  MasterKeyMismatch,
  requireFittingMasterKeys,
  SigningKeyRing,
  type SigningKeyRingOptions,
  SigningKeyUnusable,
} from './signing-key-ring.js';
export { signStaticToken, STATIC_TOKEN_SECONDS, staticTokenPeriod } from './static-token.js';
