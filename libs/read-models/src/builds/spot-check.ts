import { isDeepStrictEqual } from 'node:util';
import {
  applyingUnlessLeftOut,
  eventsToNow,
  followed,
  type FollowedEvent,
  isSelected,
  LeftOutEvents,
} from '#event-log';
import type { Position } from '#events';
import type { BuildName, StoredDocument } from '../port.js';
import { changeOfCount, foldInto, type Projection } from '../projections/projection.js';
import { ExpectedDocuments } from './expected-documents.js';
import type { ReadModelStores } from './projector.js';

export interface SpotCheck {
  /** Number of documents in the build; 0 if the projection's documents are not counted. */
  readonly documents: number;
  /**
   * Number of documents that result from a fold of the log (all events applied in order). This is a range if events
   * came while the build's documents were counted.
   */
  readonly expected: { readonly least: number; readonly most: number };
  /** Ids of the compared documents that differ. */
  readonly different: readonly string[];
}

export const isPassed = ({ documents, expected: { least, most }, different }: SpotCheck): boolean =>
  least <= documents && documents <= most && different.length === 0;

/**
 * Thrown when the first build of a version differs from a fold of the log (all events applied in order). Such a build
 * is not served to queries.
 */
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

export interface SpotCheckOptions<Doc> extends ReadModelStores {
  readonly projection: Projection<Doc>;
  readonly build: BuildName;
  /**
   * What the log makes of the projection, as far as this is known. The events that it lacks are read from the log. The
   * default reads the whole log.
   */
  readonly expected?: ExpectedDocuments<Doc>;
  readonly signal: AbortSignal;
}

const PAGE = 1000;

/**
 * Compares a build with what the log makes of the projection, while the build is being fed. Compares the number of
 * documents, and the content of at least 1,000 documents (of all documents, if there are fewer). The memory that this
 * needs does not depend on the length of the log.
 * Throws `ProjectionStopped`, `LogUnavailable`, `ReadStoreUnavailable`, the signal's reason.
 */
export async function spotCheck<Doc>(options: SpotCheckOptions<Doc>): Promise<SpotCheck> {
  const { log, store, projection, build, signal } = options;
  // The copy comes first, so the build's checkpoint is at the copy's position or after it.
  const known = options.expected?.copy();
  const checkpoint = await store.checkpoint(build);
  const expected = usable(known, checkpoint?.position) ?? new ExpectedDocuments(projection);
  const leftOut = new LeftOutEvents(log);
  const read = async (after: Place | undefined, to: Position | undefined, use: (event: FollowedEvent) => void) => {
    let ordinal = after?.nextOrdinal ?? 0;
    for await (const recorded of eventsToNow(log, { after: after?.position, signal })) {
      if (to !== undefined && recorded.position > to) return;
      if (!isSelected(projection, recorded)) continue;
      const number = projection.isNumbered && ordinal++;
      await applyingUnlessLeftOut(leftOut, projection.name, recorded, () => {
        use(followed(recorded, number));
      });
    }
  };
  if (checkpoint && expected.position !== checkpoint.position) {
    await read(expected, checkpoint.position, (event) => {
      expected.add(event);
    });
  }
  const { count } = projection;
  const documents = count === 'NOT_COUNTED' ? 0 : await store.count(build);
  const stored = new Map<string, StoredDocument<Doc>>();
  for (const ids of pagesOf([...expected.sampled.keys()])) {
    for (const document of await store.read<Doc>(build, ids)) stored.set(document.id, document);
  }
  // The stored documents may already contain events that came after the checkpoint above, so these events are folded,
  // too.
  const later = new LaterEvents(projection, expected, stored);
  await read(checkpoint, undefined, (event) => {
    later.add(event);
  });
  return { documents, expected: later.count, different: later.different() };
}

/** Where a read of the log begins. */
interface Place {
  readonly position: Position | undefined;
  readonly nextOrdinal?: number;
}

/** What is known can't be used if it is ahead of the build: then the store was restored to an older state. */
const usable = <Doc>(
  known: ExpectedDocuments<Doc> | undefined,
  end: Position | undefined,
): ExpectedDocuments<Doc> | undefined =>
  known?.position !== undefined && end !== undefined && known.position <= end ? known : undefined;

/**
 * The events after the checkpoint. They are folded into the expected documents, but never beyond the position of the
 * stored document, and they add no document to the sample.
 */
class LaterEvents<Doc> {
  private readonly documents: Map<string, StoredDocument<Doc>>;
  private now: number;
  private least: number;
  private most: number;

  constructor(
    private readonly projection: Projection<Doc>,
    expected: ExpectedDocuments<Doc>,
    private readonly stored: ReadonlyMap<string, StoredDocument<Doc>>,
  ) {
    this.documents = new Map(expected.sampled);
    this.now = this.least = this.most = expected.count;
  }

  get count(): SpotCheck['expected'] {
    return { least: this.least, most: this.most };
  }

  add(event: FollowedEvent): void {
    const { projection, documents, stored } = this;
    this.now += changeOfCount(projection, event);
    this.least = Math.min(this.least, this.now);
    this.most = Math.max(this.most, this.now);
    for (const id of projection.documentsOf(event)) {
      const document = documents.get(id);
      if (document && event.position <= (stored.get(id)?.position ?? '')) {
        documents.set(id, foldInto(projection, document, event, id) ?? document);
      }
    }
  }

  different(): string[] {
    return [...this.documents]
      .filter(([id, document]) => !isDeepStrictEqual(document, this.stored.get(id)))
      .map(([id]) => id);
  }
}

const pagesOf = (ids: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(ids.length / PAGE) }, (_, page) => ids.slice(page * PAGE, (page + 1) * PAGE));
