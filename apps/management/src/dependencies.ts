import { CredentialMint, type MasterKeys } from '#credentials';
import type { BookOfRecord, OutageObserver } from '#event-log';
import { FollowedFeed, LeafCounts } from '#feeds';
import type { Clock, Configuration } from '#platform';
import { ReadModelQueries } from '#read-models';
import type { PendingKeyedBook, PendingReadStore } from '#stores';
import { type ManagementTokenVerifier, RefreshTokens, TokenVerifier } from '#tokens';
import { TreeHeadSigner, TreeReader } from '#tree-heads';

/**
 * The stores, keys and settings that the management API uses. The process that runs the API opens and closes the
 * stores.
 */
export interface ManagementDependencies {
  /** Throws `LogUnavailable` until the event log is open, so read this property anew in each request. */
  readonly book: BookOfRecord;
  /**
   * Throws `ReadStoreUnavailable` or `LogUnavailable` until both stores are open, so read this property anew in each
   * request.
   */
  readonly readModels: ReadModelQueries;
  /** The tree over the log, and its signer. Throws as `readModels`, so read this property anew in each request. */
  readonly tree: { readonly reader: TreeReader; readonly signer: TreeHeadSigner };
  /** The feed of events. Throws as `readModels`, so read this property anew in each request. */
  readonly feed: FollowedFeed;
  /** Whether everybody may read heads, tiles and the keys of the tree. */
  readonly isTreePublic: boolean;
  /** Resolves when the stores are open for the first time. */
  readonly opened: Promise<unknown>;
  readonly masterKeys: MasterKeys;
  readonly mint: CredentialMint;
  readonly tokens: ManagementTokenVerifier;
  readonly refreshTokens: RefreshTokens;
  /** Throws `LogUnavailable` until the event log is open, so read this property anew in each request. */
  readonly tokenVerifier: TokenVerifier;
  /** The issuer of access tokens: `PUBLIC_URL` without a slash at its end. */
  readonly issuer: string;
  readonly clock: Clock;
  /** Number of requests that one subject (sender of requests) may send per minute; 0 means no limit. */
  readonly requestsPerMinute: number;
}

/** That the log can't be read is reported by its own readiness check. */
const UNREPORTED: OutageObserver = { outageBegan: () => undefined, outageEnded: () => undefined };

/** NestJS injection token of `ManagementDependencies`. */
export const DEPENDENCIES = Symbol('ManagementDependencies');

export interface ManagementParts {
  readonly log: PendingKeyedBook;
  readonly readStore: PendingReadStore;
  readonly masterKeys: MasterKeys;
  readonly tokens: ManagementTokenVerifier;
  readonly clock: Clock;
  readonly configuration: Configuration;
}

export function managementDependencies(parts: ManagementParts): ManagementDependencies {
  const { log, readStore, masterKeys, tokens, clock, configuration } = parts;
  let readModels: ReadModelQueries | undefined;
  let tree: ManagementDependencies['tree'] | undefined;
  let feed: FollowedFeed | undefined;
  let tokenVerifier: TokenVerifier | undefined;
  return {
    get tree() {
      if (tree === undefined) {
        const { book } = log.current;
        const reader = new TreeReader(this.readModels, book.log);
        const { publicUrl } = configuration;
        tree = { reader, signer: new TreeHeadSigner({ book, reader, masterKeys, publicUrl, now: clock }) };
      }
      return tree;
    },
    get feed() {
      if (feed === undefined) {
        const { reader } = this.tree;
        const eventLog = log.current.book.log;
        feed = new FollowedFeed(eventLog, new LeafCounts(eventLog, reader), UNREPORTED);
      }
      return feed;
    },
    isTreePublic: configuration.treePublic,
    opened: Promise.all([log.opened, readStore.opened]),
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
    get tokenVerifier() {
      // Auditors ask about few tokens, and rarely twice about the same one.
      return (tokenVerifier ??= new TokenVerifier(log.current.ring, { remembered: 1 }));
    },
    refreshTokens: new RefreshTokens(masterKeys),
    issuer: configuration.publicUrl,
    masterKeys,
    mint: new CredentialMint({ keys: masterKeys }),
    tokens,
    clock,
    requestsPerMinute: configuration.rateLimits.managementPerSubject,
  };
}
