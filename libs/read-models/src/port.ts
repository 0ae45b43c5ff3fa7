import { type Checkpoint, StoreUnavailable } from '#event-log';
import type { Position, Revision } from '#events';
import type { DocumentSchema } from './document-schema.js';

/** A document of a read model: the result of folding the document's events up to `position`. */
export interface StoredDocument<Doc = unknown> {
  readonly id: string;
  /** Position of the last event that was folded into the document. */
  readonly position: Position;
  /** Revision of the document's own stream. ETags are made from this revision. */
  readonly revision: Revision;
  readonly doc: Doc;
}

/**
 * A whole document that is to be written. The document is written only if the stored document is at the position
 * `expected`. If `expected` is `undefined`, the document is written only if none is stored.
 */
export interface DocumentWrite extends StoredDocument {
  readonly expected: Position | undefined;
}

/**
 * A MongoDB view for analysts. The view shows documents of the served build (the one that queries read), but only
 * documents whose fields have the values in `equals`. The view's name stays the same when another build is served.
 */
export interface View {
  readonly name: string;
  readonly equals: Readonly<Record<string, FieldValue>>;
}

/**
 * An index of the grams (`gramsOf`) of a string field. It finds the documents whose string contains a given text, in no
 * order.
 */
export interface GramIndex {
  /** The field that holds the grams as an array of strings. */
  readonly field: string;
  /** String fields that every search compares for equality. */
  readonly within: readonly string[];
}

/** Describes a projection's documents and lists. Every field name means a top-level field of the document. */
export interface CollectionSchema {
  readonly name: string;
  readonly version: number;
  /**
   * One index per list query. An index names the fields that the query compares for equality, and then the query's sort
   * field. The adapter adds the document's id at the end. A list query MUST have an index of exactly its fields. A field
   * MUST have one type in all documents.
   */
  readonly indexes: readonly (readonly string[])[];
  /**
   * Fields that hold an array of strings. Each list can also be restricted to the documents whose array contains a
   * given string.
   */
  readonly arrayIndexes?: readonly string[];
  readonly gramIndexes?: readonly GramIndex[];
  /**
   * A store that can validate documents MUST refuse documents that do not match this schema. If the schema is absent, a
   * document may hold anything.
   */
  readonly document?: DocumentSchema;
  /** MongoDB views. Only a store that analysts can read creates them. */
  readonly views?: readonly View[];
}

/** The projection and version that a build belongs to. */
export type ProjectionVersion = Pick<CollectionSchema, 'name' | 'version'>;

/** Documents that are written together with the checkpoint up to which they hold the log's events. */
export interface Load {
  readonly writes: readonly DocumentWrite[];
  readonly expected: Checkpoint | undefined;
  readonly next: Checkpoint;
}

/** Number of documents that a search for a text inside a field sorts by itself. */
export const MAX_CANDIDATES = 1_000;

/** Name of one build (copy of a projection's documents), in the form `<projection>_v<version>_<n>`. */
export type BuildName = `${string}_v${number}_${number}`;

export type FieldValue = string | number | boolean;

export interface PageQuery {
  /** Selects the documents whose fields have these values. */
  readonly equals?: Readonly<Record<string, FieldValue>>;
  /**
   * Selects the documents whose sort field is a string that begins with `value`, by code point. `field` MUST be the
   * sort field.
   */
  readonly prefix?: { readonly field: string; readonly value: string };
  /**
   * Selects the documents whose sort field is a string that contains `value`, by code point. `field` MUST be the sort
   * field. `grams` is the index of its grams, and `equals` MUST name all fields of its `within`. MUST NOT be combined
   * with `prefix`.
   * A store first looks for at most `MAX_CANDIDATES` documents that have the grams of `value`, and sorts those that
   * contain `value`. If there are more, it walks along the list's index, because the next document is then near. So no
   * search reads all documents, unless many match and all of them are at the end of the list.
   */
  readonly inside?: { readonly field: string; readonly value: string; readonly grams: GramIndex };
  /** Selects the documents whose array contains `value`. `field` is one of `arrayIndexes`. */
  readonly contains?: { readonly field: string; readonly value: string };
  /**
   * Strings MUST be compared by code point (by their UTF-8 bytes). Documents with the same value are sorted by their
   * ids, in the same direction. The list MUST NOT contain a document in which the field is absent or `null`.
   */
  readonly sort: { readonly field: string; readonly direction: 'asc' | 'desc' };
  /**
   * The sort field's value and the id of the last document of the previous page. The page begins after that document.
   */
  readonly after?: { readonly value: FieldValue; readonly id: string };
  readonly limit: number;
}

export interface BuildInfo {
  readonly build: BuildName;
  readonly checkpoint: Checkpoint | undefined;
  readonly served: boolean;
}

/**
 * Tells which process feeds a build. A process that waits for the lease asks the holder whether it is still there
 * (`asked`), and the holder answers by storing the next `turn` (a counter). A waiting process measures by its own clock
 * how long its question has not been answered. So the clocks of different machines need not agree, and nothing is
 * written while nobody waits.
 */
export interface Lease {
  /** Id of the lease's holder. A process makes a new id each time it takes the lease. */
  readonly holder: string;
  readonly turn: number;
  /**
   * If a process has seen the same `turn` (a counter), with `asked` set, for this long, in ms, the process may take over
   * the lease.
   */
  readonly ttlMs: number;
  /** Whether a waiting process has asked in this turn. The holder's next turn is stored without it. */
  readonly asked?: true;
}

/**
 * Stores read models. There are two adapters: SQLite and MongoDB. Both MUST pass the test suite
 * `test/contract/read-store.ts`. Every read MUST see every write that was acknowledged before the read (MongoDB:
 * primary, majority). Several processes MAY use the store at once.
 * Each method MUST throw `ReadStoreUnavailable` if the store can't be used now. The method MUST also throw this error
 * if the build does not exist, unless the method's comment says otherwise. Callers wait and repeat a call that throws
 * this error.
 */
export interface ReadStore {
  /**
   * The epoch: number of connections that were lost so far. After each loss, the store may have been restored to an
   * older state. So documents that are read in a later epoch than a checkpoint may be older than the checkpoint. A
   * store that has no connections and can't be restored while it is open MAY always return 0.
   */
  readonly connectionEpoch: number;
  /**
   * Creates the build's collection, indexes and validation if they are missing. MUST keep everything that is stored.
   * Throws `TypeError` if the build does not belong to this schema. When the signal aborts, MAY throw the signal's reason
   * before everything is created. MAY throw `RebuildNeeded` if a build of this name was dropped. MUST do so if the drop
   * may still be under way, because it would then hit the new build.
   */
  prepare(build: BuildName, schema: CollectionSchema, signal?: AbortSignal): Promise<void>;
  /**
   * Creates a build that is to be filled by `load`, if the build does not exist. The store MAY leave out everything that
   * only lists need, such as indexes; `find` MAY then throw until `prepare` is called. MUST keep everything that is
   * stored. Throws the same errors as `prepare`.
   */
  prepareToLoad(build: BuildName, schema: CollectionSchema): Promise<void>;
  /**
   * Returns the name for a new build: its number is higher than the numbers of all builds of this projection and version.
   * MUST NOT return a name that `prepare` refuses. Creates nothing, so two callers may get the same name.
   */
  nextBuild(schema: ProjectionVersion): Promise<BuildName>;
  /** Returns every build of this projection and version, oldest first. */
  builds(name: string, version: number): Promise<BuildInfo[]>;
  /** Returns the build that queries read; `undefined` if no build has been served yet. */
  served(name: string, version: number): Promise<BuildName | undefined>;
  /**
   * Makes `build` the served build, which queries read (compare-and-set). If the served build is not `from`, or if
   * `build` does not exist, MUST change nothing and return `false`. A store with MongoDB views then makes the schema's
   * views show the served build of the projection's latest version. If that fails, `build` is served all the same, the
   * error is thrown, and the next `prepare` of `build` makes up for it.
   */
  serve(schema: CollectionSchema, from: BuildName | undefined, build: BuildName): Promise<boolean>;
  /** Removes a build with its documents, checkpoint and lease, if the build exists. MUST throw for the served build. */
  drop(build: BuildName): Promise<void>;

  /** Returns the documents with these ids, in any order. Ids for which no document is stored are left out. */
  read<Doc>(build: BuildName, ids: readonly string[]): Promise<StoredDocument<Doc>[]>;
  /**
   * Writes each document on its own (compare-and-set). MUST NOT write a document if the stored document is not at the
   * position `expected`. Returns the ids of the documents that were not written; the caller reads and folds these
   * documents again. An id MAY be left out if the very same document is stored already.
   */
  write(build: BuildName, writes: readonly DocumentWrite[]): Promise<string[]>;
  /**
   * Writes many documents as `write` does, then stores the checkpoint as `advance` does. Returns `false`, and MUST NOT
   * store the checkpoint, if the stored checkpoint is not `expected`, if a document is not at the position that its write
   * expects, or if the build does not exist. A store that has no transactions MAY then have written other documents of
   * the load.
   */
  load(build: BuildName, load: Load): Promise<boolean>;
  /**
   * Returns one page of a list. MUST throw if the list has no index, and MUST NOT search through all documents instead.
   */
  find<Doc>(build: BuildName, query: PageQuery): Promise<StoredDocument<Doc>[]>;
  /** Returns the number of documents. MAY read every document. */
  count(build: BuildName): Promise<number>;
  /**
   * Returns the next `limit` documents after `afterId`, in the order of their ids. This method is used to compare
   * builds.
   */
  scan<Doc>(build: BuildName, afterId: string | undefined, limit: number): Promise<StoredDocument<Doc>[]>;

  checkpoint(build: BuildName): Promise<Checkpoint | undefined>;
  /**
   * Stores the checkpoint `next` (compare-and-set). Returns `false` if the stored checkpoint is not `expected`, or if
   * the build does not exist.
   */
  advance(build: BuildName, expected: Checkpoint | undefined, next: Checkpoint): Promise<boolean>;

  /** Returns the build's lease as it was last stored; `undefined` if no process holds the lease. */
  lease(build: BuildName): Promise<Lease | undefined>;
  /**
   * Takes or renews the lease, or asks its holder (compare-and-set). Returns `false` if the build does not exist, or if
   * the stored lease is not `expected`. Leases are compared by their holder and their turn (the counter of renewals).
   */
  setLease(build: BuildName, expected: Lease | undefined, next: Lease): Promise<boolean>;
  /** Removes the lease if `holder` holds the lease. */
  releaseLease(build: BuildName, holder: string): Promise<void>;

  /** Resolves if the store can be used now. Readiness checks call this method. */
  ping(): Promise<void>;
  /** MUST finish all calls that have begun. After `close`, every call MUST throw `ReadStoreUnavailable`. */
  close(): Promise<void>;
}

/** Thrown when the read store can't be used now. The caller may repeat the call. */
export class ReadStoreUnavailable extends StoreUnavailable {
  override readonly name = 'ReadStoreUnavailable';
  readonly store = 'read store';
  override readonly needsOperator: boolean;
  readonly code = 'read_store_unavailable';
  readonly detail = 'The read models do not answer; try again';

  constructor(message: string, { needsOperator = false, ...options }: ReadStoreUnavailableOptions = {}) {
    super(message, options);
    this.needsOperator = needsOperator;
  }
}

export interface ReadStoreUnavailableOptions extends ErrorOptions {
  /** See `StoreUnavailable`. */
  readonly needsOperator?: boolean;
}
