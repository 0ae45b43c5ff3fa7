import { CredentialVerifier, type MasterKeys } from '#credentials';
import type { BookOfRecord } from '#event-log';
import type { Clock, Configuration } from '#platform';
import type { LateKeyedBook } from '#stores';
import type { SigningKeyRing } from '#tokens';

/**
 * What authentication works on; its process opens and closes them. It has no read model, on purpose. `book` and `ring`
 * throw `LogUnavailable` until the event log is there: take them at each request.
 */
export interface AuthDependencies {
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
  readonly masterKeys: MasterKeys;
  readonly verifier: CredentialVerifier;
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clock: Clock;
}

/** Injection token of `AuthDependencies`. */
export const DEPENDENCIES = Symbol('AuthDependencies');

export interface AuthParts {
  readonly log: LateKeyedBook;
  readonly masterKeys: MasterKeys;
  readonly clock: Clock;
  readonly configuration: Configuration;
}

export const authDependencies = ({ log, masterKeys, clock, configuration }: AuthParts): AuthDependencies => ({
  get book() {
    return log.current.book;
  },
  get ring() {
    return log.current.ring;
  },
  masterKeys,
  verifier: new CredentialVerifier({ keys: masterKeys }),
  issuer: configuration.publicUrl,
  clock,
});
