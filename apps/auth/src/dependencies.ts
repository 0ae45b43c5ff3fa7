import type { CredentialVerifier, MasterKeys } from '#credentials';
import type { BookOfRecord } from '#event-log';
import type { Clock } from '#platform';
import type { SigningKeyRing } from '#tokens';

/** What authentication works on; its process opens and closes them. It has no read model, on purpose. */
export interface AuthDependencies {
  readonly book: BookOfRecord;
  readonly masterKeys: MasterKeys;
  readonly verifier: CredentialVerifier;
  readonly ring: SigningKeyRing;
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clock: Clock;
}

/** Injection token of `AuthDependencies`. */
export const DEPENDENCIES = Symbol('AuthDependencies');
