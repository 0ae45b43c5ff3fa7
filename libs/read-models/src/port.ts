import type { Position, Revision } from '#events';

/** A read-model document: a fold of the log up to `position`. */
export interface StoredDocument<Doc = unknown> {
  readonly id: string;
  /** The last event that was folded into it. */
  readonly position: Position;
  /** Revision of the document's own stream, for ETags. */
  readonly revision: Revision;
  readonly doc: Doc;
}

/** A whole document, to be written only where the stored one is still at `expected` (`undefined`: where there is none). */
export interface DocumentWrite extends StoredDocument {
  readonly expected: Position | undefined;
}

/** How far a build has come, and in which log. */
export interface Checkpoint {
  readonly logId: string;
  readonly position: Position;
  readonly eventId: string;
}

/** What a projection's documents are found by. Field names are top-level fields of the document. */
export interface CollectionSchema {
  readonly name: string;
  readonly version: number;
  /**
   * Equality fields and, last, the sort field of each list; the document's id closes each of them. A list is answered
   * by the index of exactly its fields, and refused where there is none. A field has one type in all documents.
   */
  readonly indexes: readonly (readonly string[])[];
  /** A field holding an array of strings, each of which finds the document, in each of the lists. */
  readonly arrayIndexes?: readonly string[];
}

/** One build of one projection: `<projection>_v<version>_<n>`. */
export type BuildName = `${string}_v${number}_${number}`;

export type FieldValue = string | number | boolean;

export interface PageQuery {
  /** Field equals the value. */
  readonly equals?: Readonly<Record<string, FieldValue>>;
  /** The sort field, a string, begins with the prefix, by code point. */
  readonly prefix?: { readonly field: string; readonly value: string };
  /** One of `arrayIndexes` holds the value. */
  readonly contains?: { readonly field: string; readonly value: string };
  /**
   * Strings compare by code point (their UTF-8 bytes), ties are broken by the document's id, in the same direction.
   * Documents without the field, or with `null` in it, are not in the list.
   */
  readonly sort: { readonly field: string; readonly direction: 'asc' | 'desc' };
  /** The sort key of the last document of the page before: exclusive. */
  readonly after?: { readonly value: FieldValue; readonly id: string };
  readonly limit: number;
}

export interface BuildInfo {
  readonly build: BuildName;
  readonly checkpoint: Checkpoint | undefined;
  readonly served: boolean;
}

/**
 * Who works at a build. Each taking and each renewal stores another turn, so that who waits sees by its own clock alone
 * whether the holder lives: the clocks of nodes needn't agree.
 */
export interface Lease {
  /** The id of one taking, never used again. */
  readonly holder: string;
  readonly turn: number;
  /** Who has seen this very turn for so long may take the lease over. */
  readonly ttlMs: number;
}

/**
 * Where read models live. Two adapters: SQLite and MongoDB; both pass `test/contract/read-store.ts`. Every read sees
 * every write acknowledged before it (MongoDB: primary, majority). Above the port only `ReadStoreUnavailable` is seen.
 */
export interface ReadStore {
  /** Makes the build's collection and indexes where they are missing. */
  prepare(build: BuildName, schema: CollectionSchema): Promise<void>;
  /** Every build of this projection and version, oldest first. */
  builds(name: string, version: number): Promise<BuildInfo[]>;
  /** The build that queries are answered from; `undefined` before the first. */
  served(name: string, version: number): Promise<BuildName | undefined>;
  /** Points queries at `build`, where `from` is still the one that is served; answers whether it did. */
  serve(name: string, version: number, from: BuildName | undefined, build: BuildName): Promise<boolean>;
  /** Removes a build with its documents, checkpoint and lease. Throws for the served one. */
  drop(build: BuildName): Promise<void>;

  read<Doc>(build: BuildName, ids: readonly string[]): Promise<StoredDocument<Doc>[]>;
  /** Compare-and-set of each document on its own; answers the ids that were somewhere else (to be read and folded again). */
  write(build: BuildName, writes: readonly DocumentWrite[]): Promise<string[]>;
  find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]>;
  count(build: BuildName): Promise<number>;
  /** All documents in the order of their ids, a page at a time, for comparing builds. */
  scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]>;

  checkpoint(build: BuildName): Promise<Checkpoint | undefined>;
  /** Compare-and-set; `false` when the stored checkpoint is not `expected` any more. */
  advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean>;

  /** The build's lease as it was last stored; `undefined` when nobody has it. */
  lease(build: BuildName): Promise<Lease | undefined>;
  /**
   * Compare-and-set, to take a lease and to renew one; `false` when the stored lease is not `expected` any more (by
   * holder and turn), or when there is no such build.
   */
  setLease(build: BuildName, expected: Lease | undefined, next: Lease): Promise<boolean>;
  /** Nobody has the lease any more, where this holder had it; else nothing. */
  releaseLease(build: BuildName, holder: string): Promise<void>;

  /** Whether the store answers at all, for readiness. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The read store can't answer now; the call may be repeated. */
export class ReadStoreUnavailable extends Error {
  override readonly name = 'ReadStoreUnavailable';
}
