import { CredentialMint, type MasterKeys } from '#credentials';
import type { BookOfRecord } from '#event-log';
import type { Clock, Configuration } from '#platform';
import { ReadModelQueries } from '#read-models';
import type { LateKeyedBook, LateReadStore } from '#stores';
import type { ManagementTokenVerifier } from '#tokens';

/** What the management API works on; its process opens and closes them. */
export interface ManagementDependencies {
  /** Throws `LogUnavailable` until the event log is there: take it at each request. */
  readonly book: BookOfRecord;
  /** Throws `ReadStoreUnavailable` or `LogUnavailable` until both stores are there: take it at each request. */
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

export interface ManagementParts {
  readonly log: LateKeyedBook;
  readonly readStore: LateReadStore;
  readonly masterKeys: MasterKeys;
  readonly tokens: ManagementTokenVerifier;
  readonly clock: Clock;
  readonly configuration: Configuration;
}

export function managementDependencies(parts: ManagementParts): ManagementDependencies {
  const { log, readStore, masterKeys, tokens, clock, configuration } = parts;
  let readModels: ReadModelQueries | undefined;
  return {
    get book() {
      return log.current.book;
    },
    get readModels() {
      if (readModels === undefined) {
        const store = readStore.current;
        const { log: eventLog, logId } = log.current.book;
        readModels = new ReadModelQueries({ log: eventLog, logId, store });
      }
      return readModels;
    },
    masterKeys,
    mint: new CredentialMint({ keys: masterKeys }),
    tokens,
    clock,
    requestsPerMinute: configuration.rateLimits.managementPerSubject,
  };
}
