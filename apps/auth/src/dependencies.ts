import { CredentialVerifier, type MasterKeys } from '#credentials';
import type { Instant } from '#domain';
import type { BookOfRecord } from '#event-log';
import { type Clock, type Configuration, instantsOf } from '#platform';
import type { LateKeyedBook } from '#stores';
import { type ManagementTokenVerifier, RefreshTokens, type SigningKeyRing } from '#tokens';
import type { GatewaySettings } from './gateway/gateway-settings.js';

/**
 * What authentication works on; its process opens and closes them. It has no read model, on purpose. `book` and `ring`
 * throw `LogUnavailable` until the event log is there: take them at each request.
 */
export interface AuthDependencies {
  /** Settles when the event log is open, or never will be. */
  readonly opened: Promise<unknown>;
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
  readonly verifier: CredentialVerifier;
  readonly refreshTokens: RefreshTokens;
  /** Of those that introspect for a whole workspace; absent where no issuer of management tokens is known. */
  readonly managementTokens?: ManagementTokenVerifier | undefined;
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clock: Clock;
  /** The clock's moment. */
  readonly now: () => Instant;
  readonly gateway: GatewaySettings;
}

/** Injection token of `AuthDependencies`. */
export const DEPENDENCIES = Symbol('AuthDependencies');

export interface AuthParts {
  readonly log: LateKeyedBook;
  readonly masterKeys: MasterKeys;
  readonly clock: Clock;
  readonly configuration: Configuration;
  readonly managementTokens: ManagementTokenVerifier | undefined;
  /** What gateways send as `X-Gateway-Secret`. */
  readonly gatewaySecret: string;
}

export const authDependencies = ({ log, masterKeys, clock, configuration, ...parts }: AuthParts): AuthDependencies => ({
  opened: log.opened,
  get book() {
    return log.current.book;
  },
  get ring() {
    return log.current.ring;
  },
  verifier: new CredentialVerifier({ keys: masterKeys }),
  refreshTokens: new RefreshTokens(masterKeys),
  managementTokens: parts.managementTokens,
  issuer: configuration.publicUrl,
  clock,
  now: instantsOf(clock),
  gateway: { ...configuration.gateway, secret: parts.gatewaySecret },
});
