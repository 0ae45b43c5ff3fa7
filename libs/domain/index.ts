export type { Aggregate, DataOf, DomainEvent } from './aggregate.js';
export {
  type ClientDescription,
  type DescriptionChange,
  EXTERNAL_ID,
  isLabelKey,
  LABEL_KEY,
  type Labels,
  MAX_DESCRIPTION_LENGTH,
  MAX_LABEL_LENGTH,
  MAX_LABELS,
  RESERVED_LABEL_KEYS,
} from './client-description.js';
export {
  type ActiveClient,
  type Assignment,
  type AuthenticationType,
  type ClientId,
  clientIdOf,
  clientNotFound,
  consumerClient,
  type ConsumerClientCommand,
  type ConsumerClientEvent,
  type ConsumerClientState,
  type CreateClient,
  type Credential,
  type DescribeClient,
  goodCredentials,
  isClientId,
  isGoodGeneration,
  MAX_EXPIRY_SECONDS,
  MAX_FIRST_SUBSCRIPTIONS,
  MAX_NAME_LENGTH,
  MAX_OVERLAP_SECONDS,
  MAX_REASON_LENGTH,
  MAX_SUBSCRIPTIONS,
  newestCredential,
  type RotateSecret,
  type UnassignmentReason,
} from './consumer-client.js';
export { DomainError } from './domain-error.js';
export { type EndpointUri, endpointUri, type EndpointUriEvent, isEndpointUri } from './endpoint-uri.js';
export { externalId, type ExternalIdEvent, type ExternalIdKey } from './external-id.js';
export { Failure, type FailureKind } from './failure.js';
export { fastestClock, type Instant, MAX_CLOCK_SKEW_SECONDS, millisecondsOf, secondsAfter } from './instant.js';
export {
  compromisedKids,
  isPublishedTooLate,
  JWKS_MAX_AGE_SECONDS,
  type NewSigningKey,
  nextSigningKey,
  PUBLISHED_BEFORE_SIGNING_SECONDS,
  type SigningAlgorithm,
  type SigningKey,
  signingKey,
  signingKeys,
  type SigningKeysCommand,
  type SigningKeysEvent,
  type SigningKeysState,
  signsFrom,
} from './signing-keys.js';
export {
  isSubscriptionId,
  subscription,
  SUBSCRIPTION_ID,
  type SubscriptionCommand,
  type SubscriptionEvent,
  type SubscriptionId,
  subscriptionNotFound,
  type SubscriptionState,
} from './subscription.js';
export {
  currentStaticToken,
  hasTokenRevocations,
  type IssuedToken,
  isTokenRevoked,
  MAX_PARTIAL_ENDS,
  MAX_REMEMBERED_REVOCATIONS,
  MAX_STATIC_TOKENS,
  MAX_TOKEN_REVOCATIONS_PER_MINUTE,
  type ReplacedTokens,
  type RevokedToken,
  type RevokedTokenKind,
  type StaticTokenPeriod,
  usableStaticToken,
} from './token-ledger.js';
export { isWorkspaceId, type WorkspaceId } from './workspace.js';
