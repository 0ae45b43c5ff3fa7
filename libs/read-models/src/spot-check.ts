import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { eventsToNow } from '#event-log';
import type { Position } from '#events';
import { applying } from './log-follower.js';
import type { BuildName, StoredDocument } from './port.js';
import { type FollowedEvent, type Projection, foldInto, followed, isOwnEvent } from './projection.js';
import type { ReadModelStores } from './projector.js';

export interface SpotCheck {
  /** Documents in the build. */
  readonly documents: number;
  /** Documents that the log makes: one number, unless events came while they were counted. */
  readonly expected: { readonly least: number; readonly most: number };
  /** Ids of those that differ, among the documents that were compared. */
  readonly different: readonly string[];
}

export const isPassed = ({ documents, expected: { least, most }, different }: SpotCheck): boolean =>
  least <= documents && documents <= most && different.length === 0;

/** The first build of a version holds other documents than a fold of the log makes; it is not served. */
export class SpotCheckFailed extends Error {
  override readonly name = 'SpotCheckFailed';

  constructor(
    readonly projection: string,
    { documents, expected: { least, most }, different }: SpotCheck,
  ) {
    const expected = least === most ? String(least) : `${least} to ${most}`;
    super(
      `${projection}: ${documents} documents where the log makes ${expected}; different: ${different.length}` +
        (different.length > 0 ? `, such as ${different.slice(0, 10).join(', ')}` : ''),
    );
  }
}

const SAMPLE = 1000;
const PAGE = 1000;

/**
 * Compares a build, while it is being fed, with a fold of the log: how many documents there are, and at least 1,000 of
 * them (all, where there are fewer).
 * Throws `ProjectionStopped`, `LogUnavailable`, `ReadStoreUnavailable`, the signal's reason.
 */
export async function spotCheck<Doc>(
  { log, store }: ReadModelStores,
  projection: Projection<Doc>,
  build: BuildName,
  signal: AbortSignal,
): Promise<SpotCheck> {
  const fold = new SampledFold(projection);
  const checkpoint = await store.checkpoint(build);
  const read = async (after: Position | undefined, to: Position | undefined, use: (event: FollowedEvent) => void) => {
    for await (const recorded of eventsToNow(log, { after, signal })) {
      if (to !== undefined && recorded.position > to) return;
      applying(projection.name, recorded, () => {
        use(followed(recorded));
      });
    }
  };
  if (checkpoint)
    await read(undefined, checkpoint.position, (event) => {
      fold.add(event);
    });
  const least = fold.count;
  const documents = await store.count(build);
  const stored = new Map<string, StoredDocument<Doc>>();
  for (const ids of pagesOf(fold.sampled)) {
    for (const document of await store.read<Doc>(build, ids)) stored.set(document.id, document);
  }
  // What is stored may be further by now than the checkpoint that was read.
  await read(checkpoint?.position, undefined, (event) => {
    fold.goOn(event, stored);
  });
  const different = fold.sampled.filter((id) => !isDeepStrictEqual(fold.document(id), stored.get(id)));
  return { documents, expected: { least, most: fold.count }, different };
}

/** Counts all documents, and folds those whose ids have the least hashes: they are the same at whatever end. */
class SampledFold<Doc> {
  private readonly ids = new Set<string>();
  private readonly sample = new Map<string, StoredDocument<Doc> | undefined>();
  /** No id with a greater hash is in the sample. */
  private bound: string | undefined;

  constructor(private readonly projection: Projection<Doc>) {}

  get count(): number {
    return this.ids.size;
  }

  get sampled(): readonly string[] {
    return [...this.sample.keys()];
  }

  document(id: string): StoredDocument<Doc> | undefined {
    return this.sample.get(id);
  }

  add(event: FollowedEvent): void {
    for (const id of this.projection.documentsOf(event)) {
      if (!this.ids.has(id) && isOwnEvent(this.projection, event, id)) this.begin(id);
      if (this.sample.has(id)) this.fold(id, event);
    }
    if (this.sample.size >= 2 * SAMPLE) this.narrow();
  }

  /** Folds into each document what its stored one holds, and samples no other. */
  goOn(event: FollowedEvent, stored: ReadonlyMap<string, StoredDocument<Doc>>): void {
    for (const id of this.projection.documentsOf(event)) {
      if (isOwnEvent(this.projection, event, id)) this.ids.add(id);
      if (event.position <= (stored.get(id)?.position ?? '')) this.fold(id, event);
    }
  }

  private begin(id: string): void {
    this.ids.add(id);
    if (this.bound === undefined || hashOf(id) <= this.bound) this.sample.set(id, undefined);
  }

  private fold(id: string, event: FollowedEvent): void {
    this.sample.set(id, foldInto(this.projection, this.sample.get(id), event, id));
  }

  private narrow(): void {
    const hashed = [...this.sample.keys()].map((id) => ({ id, hash: hashOf(id) }));
    hashed.sort((a, b) => (a.hash < b.hash ? -1 : 1));
    this.bound = hashed[SAMPLE - 1]?.hash;
    for (const { id } of hashed.slice(SAMPLE)) this.sample.delete(id);
  }
}

const hashOf = (id: string): string => createHash('sha256').update(id).digest('hex');

const pagesOf = (ids: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(ids.length / PAGE) }, (_, page) => ids.slice(page * PAGE, (page + 1) * PAGE));
