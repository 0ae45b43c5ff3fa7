import type { CredentialMint, MasterKeys } from '#credentials';
import type { BookOfRecord } from '#event-log';
import type { Clock } from '#platform';
import type { ReadModelQueries } from '#read-models';
import type { ManagementTokenVerifier } from '#tokens';

/** What the management API works on; its process opens and closes them. */
export interface ManagementDependencies {
  readonly book: BookOfRecord;
  readonly readModels: ReadModelQueries;
  readonly masterKeys: MasterKeys;
  readonly mint: CredentialMint;
  readonly tokens: ManagementTokenVerifier;
  readonly clock: Clock;
  /** Requests that one subject may send in a minute; 0: no limit. */
  readonly requestsPerMinute: number;
}

/** Injection token of `ManagementDependencies`. */
export const DEPENDENCIES = Symbol('ManagementDependencies');
