import { CredentialVerifier, type MasterKeys } from '#credentials';
import type { Instant } from '#domain';
import type { BookOfRecord } from '#event-log';
import { type Clock, type Configuration, instantsOf } from '#platform';
import type { PendingKeyedBook } from '#stores';
import { type ManagementTokenVerifier, RefreshTokens, type SigningKeyRing } from '#tokens';
import type { GatewaySettings } from './gateway/gateway-request.js';

/**
 * The stores and settings that authentication needs. The process opens and closes the stores. There is deliberately no
 * read model. `book` and `ring` throw `LogUnavailable` until the event log is open, so every request must read these
 * properties anew.
 */
export interface AuthDependencies {
  /** Resolves when the event log is open. Rejects if the event log can't be opened. */
  readonly opened: Promise<unknown>;
  readonly book: BookOfRecord;
  readonly ring: SigningKeyRing;
  readonly verifier: CredentialVerifier;
  readonly refreshTokens: RefreshTokens;
  /**
   * Checks the management tokens of callers that introspect tokens of a whole workspace. Absent if no issuer of
   * management tokens is known.
   */
  readonly managementTokens?: ManagementTokenVerifier | undefined;
  /** `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clock: Clock;
  /** Returns the time of `clock` as text. */
  readonly now: () => Instant;
  readonly gateway: GatewaySettings;
}

export interface AuthParts {
  readonly log: PendingKeyedBook;
  readonly masterKeys: MasterKeys;
  readonly clock: Clock;
  readonly configuration: Configuration;
  readonly managementTokens: ManagementTokenVerifier | undefined;
  /** The value that gateways must send as `X-Gateway-Secret`. */
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
