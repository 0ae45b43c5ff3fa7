import {
  applying,
  type Checkpoint,
  CheckpointMoved,
  type CheckpointStore,
  type FollowedEvent,
  isSameCheckpoint,
  type LeftOutEvents,
} from '#event-log';
import type { Position } from '#events';
import type { BuildName, DocumentWrite, ReadStore, StoredDocument } from '../port.js';
import { type Change, changesBy, foldInto, isOwnEvent, type Projection } from '../projections/projection.js';

/** The loader writes what it holds after this many events, or after this many batches (which are bounded in bytes). */
const EVENTS_PER_LOAD = 5_000;
const BATCHES_PER_LOAD = 20;
/** The loader writes what it holds when the changed documents have this weight (see `weightOf`). */
const CHANGED_WEIGHT_PER_LOAD = 30_000;
/**
 * Unchanged documents are forgotten, oldest first, when the documents of all loaders of this process together have a
 * larger weight: some 25 MB.
 */
const MOST_WEIGHT = 100_000;

/** Weight of the documents that all loaders of this process hold. */
let weightOfAll = 0;

/** A document in memory. */
interface Entry<Doc> {
  /** `undefined` if there is no such document yet. */
  document: StoredDocument<Doc> | undefined;
  /** The position at which the store holds the document; `undefined` if the store does not hold it. */
  stored: Position | undefined;
  isChanged: boolean;
  weight: number;
}

/**
 * Fills a fresh build (one that no query reads yet) from the log, much faster than the ordinary way, which reads and
 * writes every document of every batch:
 *
 * 1. Events are folded in memory. A document is read from the store only if it is not in memory and the event does not
 *    begin it.
 * 2. After many events, all changed documents are written together with the checkpoint (`ReadStore.load`). The folding
 *    goes on meanwhile, and waits when the next load is due.
 * 3. Between two loads, nothing is stored. After a crash, the work since the last load is repeated.
 *
 * Another process may feed the build at the same time, for example after it has taken over the lease. Therefore each
 * document is written only if it is stored at the position that the loader knows, and the checkpoint only if the loader
 * stored it. If either fails, the loader throws `CheckpointMoved`; what it held in memory is then forgotten, and the
 * loop begins again at the stored checkpoint.
 *
 * Documents may be stored that lie ahead of the checkpoint: a store without transactions may have crashed between the
 * documents and the checkpoint. Such documents are not further ahead than one load. So until its first load has
 * succeeded, the loader reads every document before it folds. Should a document nevertheless be ahead, its write misses,
 * and the loop begins again.
 */
export class BuildLoader<Doc> implements CheckpointStore {
  private readonly entries = new Map<string, Entry<Doc>>();
  private changedWeight = 0;
  private events = 0;
  private batches = 0;
  private hasLoaded = false;
  /** The checkpoint that is in the store, or that the load under way stores. */
  private stored: Checkpoint | undefined;
  /** How far the events are folded in memory. */
  private reached: Checkpoint | undefined;
  private loading: Promise<boolean> = Promise.resolve(true);

  constructor(
    private readonly store: ReadStore,
    private readonly projection: Projection<Doc>,
    private readonly build: BuildName,
  ) {}

  /** Forgets everything in memory, and creates the build if it is missing. */
  async begin(): Promise<void> {
    await this.end();
    this.loading = Promise.resolve(true);
    this.changedWeight = this.events = this.batches = 0;
    this.hasLoaded = false;
    await this.store.prepareToLoad(this.build, this.projection);
    this.stored = this.reached = await this.store.checkpoint(this.build);
  }

  /** Returns how far the events are folded; the stored checkpoint if another process has moved it. */
  async read(): Promise<Checkpoint | undefined> {
    await this.requireLoaded();
    const actual = await this.store.checkpoint(this.build);
    return isSameCheckpoint(actual, this.stored) ? this.reached : actual;
  }

  /** Folds the events in memory. Throws `ProjectionStopped`, `CheckpointMoved`, `ReadStoreUnavailable`. */
  async apply(events: readonly FollowedEvent[], leftOut?: LeftOutEvents): Promise<void> {
    const { projection } = this;
    const changes = changesBy(projection, events, leftOut);
    await this.fetch(this.unknownOf(changes));
    for (const { event, ids } of changes) {
      const folded = applying(projection.name, event, () => ids.map((id) => this.fold(event, id)), leftOut);
      // An event that changes several documents changes all of them or none.
      for (const [entry, document] of folded ?? []) this.keep(entry, document);
    }
    this.events += events.length;
    this.batches += 1;
  }

  /** Notes how far the events are folded, and begins a load if one is due. */
  async advance(_: Checkpoint | undefined, next: Checkpoint): Promise<boolean> {
    this.reached = next;
    const isDue =
      this.events >= EVENTS_PER_LOAD ||
      this.batches >= BATCHES_PER_LOAD ||
      this.changedWeight >= CHANGED_WEIGHT_PER_LOAD;
    return !isDue || this.beginLoad();
  }

  /** Writes everything that is in memory. Throws `CheckpointMoved`, `ReadStoreUnavailable`. */
  async finish(): Promise<void> {
    if (!(await this.beginLoad())) throw this.moved();
    await this.requireLoaded();
  }

  /** The position of the checkpoint that is stored, or that the load under way stores. */
  get storedPosition(): Position | undefined {
    return this.stored?.position;
  }

  /** Forgets everything in memory. Resolves when no load is under way. */
  async end(): Promise<void> {
    await this.loading.catch(() => undefined);
    for (const [id, entry] of this.entries) this.forget(id, entry);
  }

  /** Begins to write what is in memory, as soon as the load under way is done. Returns `false` if that one failed. */
  private async beginLoad(): Promise<boolean> {
    if (!(await this.loading)) return false;
    this.forgetSome();
    const { stored: expected, reached: next, store, build } = this;
    if (!next || isSameCheckpoint(expected, next)) return true;
    const writes = this.takeChanged();
    this.stored = next;
    this.events = this.batches = 0;
    this.loading = store.load(build, { writes, expected, next }).then((isLoaded) => {
      this.hasLoaded ||= isLoaded;
      return isLoaded;
    });
    // The next call that awaits the load gets the error.
    this.loading.catch(() => undefined);
    return true;
  }

  private takeChanged(): DocumentWrite[] {
    const writes: DocumentWrite[] = [];
    for (const [id, entry] of this.entries) {
      if (!entry.isChanged || !entry.document) continue;
      const { position, revision, doc } = entry.document;
      writes.push({ id, position, revision, doc, expected: entry.stored });
      entry.stored = position;
      entry.isChanged = false;
      if (this.projection.isOneEventEach === true) this.forget(id, entry);
    }
    this.changedWeight = 0;
    return writes;
  }

  /** Forgets unchanged documents. MUST NOT be called while a load is under way, since its documents count as unchanged. */
  private forgetSome(): void {
    if (weightOfAll <= MOST_WEIGHT) return;
    for (const [id, entry] of this.entries) {
      if (entry.isChanged) continue;
      this.forget(id, entry);
      if (weightOfAll <= MOST_WEIGHT / 2) return;
    }
  }

  private forget(id: string, { weight }: Entry<Doc>): void {
    this.entries.delete(id);
    weightOfAll -= weight;
  }

  private fold(event: FollowedEvent, id: string): [Entry<Doc>, StoredDocument<Doc> | undefined] {
    const entry = this.entries.get(id) ?? this.remember(id, undefined);
    return [entry, foldInto(this.projection, entry.document, event, id)];
  }

  private keep(entry: Entry<Doc>, document: StoredDocument<Doc> | undefined): void {
    if (document === entry.document) return;
    const weight = weightOf(document);
    weightOfAll += weight - entry.weight;
    this.changedWeight += weight - (entry.isChanged ? entry.weight : 0);
    entry.document = document;
    entry.weight = weight;
    entry.isChanged = true;
  }

  private remember(id: string, document: StoredDocument<Doc> | undefined): Entry<Doc> {
    const entry = { document, stored: document?.position, isChanged: false, weight: weightOf(document) };
    this.entries.set(id, entry);
    weightOfAll += entry.weight;
    return entry;
  }

  /** Returns the ids of the documents that have to be read before the events can be folded. */
  private unknownOf(changes: readonly Change[]): string[] {
    if (this.hasLoaded && this.projection.isOneEventEach === true) return [];
    const unknown = new Set<string>();
    const begun = new Set<string>();
    for (const { event, ids } of changes) {
      for (const id of ids) {
        if (this.entries.has(id) || unknown.has(id) || begun.has(id)) continue;
        if (this.hasLoaded && this.isBegunBy(event, id)) begun.add(id);
        else unknown.add(id);
      }
    }
    return [...unknown];
  }

  private isBegunBy(event: FollowedEvent, id: string): boolean {
    const { projection } = this;
    return projection.streamOf !== undefined && event.revision === 0n && isOwnEvent(projection, event, id);
  }

  /** Reads documents into memory, also those that do not exist yet. */
  private async fetch(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.requireLoaded();
    const { store, build } = this;
    const found = new Map((await store.read<Doc>(build, ids)).map((document) => [document.id, document]));
    // If the store was just restored from a backup, its documents may lack events that are folded already. The
    // checkpoint was restored together with the documents, so a changed checkpoint shows this.
    if (!isSameCheckpoint(await store.checkpoint(build), this.stored)) throw this.moved();
    for (const id of ids) this.remember(id, found.get(id));
  }

  private async requireLoaded(): Promise<void> {
    if (!(await this.loading)) throw this.moved();
  }

  private moved(): CheckpointMoved {
    return new CheckpointMoved(this.projection.name);
  }
}

/**
 * Number of small objects (of some 250 bytes) that a document takes without its arrays: the entry, the stored document,
 * the document itself, and their texts.
 */
const WEIGHT_WITHOUT_ARRAYS = 4;

/** Returns roughly how much memory a document takes, as a number of small objects. */
const weightOf = (stored: StoredDocument | undefined): number => {
  let weight = WEIGHT_WITHOUT_ARRAYS;
  const doc = stored?.doc as Readonly<Record<string, unknown>> | undefined;
  for (const field in doc) {
    const value = doc[field];
    if (Array.isArray(value)) weight += value.length;
  }
  return weight;
};
