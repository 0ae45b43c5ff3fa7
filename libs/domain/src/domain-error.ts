/** Every reason for which a command may be refused. The codes are part of the HTTP contract (upper-cased there). */
export type DomainErrorCode =
  | 'client_not_found'
  | 'client_exists'
  | 'client_revoked'
  | 'client_not_assigned'
  | 'wrong_authentication_type'
  | 'draft_stale'
  | 'generation_not_found'
  | 'generation_is_newest'
  | 'invalid_name'
  | 'invalid_reason'
  | 'invalid_overlap'
  | 'invalid_subscription_id'
  | 'invalid_endpoint_uri'
  | 'invalid_service_name'
  | 'too_many_subscriptions'
  | 'too_many_token_revocations'
  | 'subscription_not_found'
  | 'subscription_exists'
  | 'subscription_ended'
  | 'endpoint_uri_taken'
  | 'signing_key_not_found'
  | 'signing_key_exists'
  | 'signing_key_not_published'
  | 'signing_key_too_young';

/** A command that may not be carried out, and why. `field` names the input at fault where there is one. */
export class DomainError extends Error {
  override readonly name = 'DomainError';

  constructor(
    readonly code: DomainErrorCode,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}
