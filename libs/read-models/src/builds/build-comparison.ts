import { isDeepStrictEqual } from 'node:util';
import { applyingUnlessLeftOut, type Checkpoint, eventsToNow, followed, isSelected, LeftOutEvents } from '#event-log';
import type { BuildName, StoredDocument } from '../port.js';
import { foldInto, type Projection } from '../projections/projection.js';
import type { ReadModelStores } from './projector.js';

export interface BuildComparison {
  /** Number of documents that are in at least one of the two builds. */
  readonly documents: number;
  /** Number of documents that differ or are in only one build. */
  readonly different: number;
  /** Ids of the first of these documents, 20 at most. */
  readonly examples: readonly string[];
}

/**
 * A document that is at different positions of the log in the two builds. The two copies are compared after further
 * events have been folded into the older copy.
 */
interface UnevenPair<Doc> {
  behind: StoredDocument<Doc> | undefined;
  readonly ahead: StoredDocument<Doc>;
}

const PAGE = 1000;
export const EXAMPLES = 20;
/**
 * Number of uneven pairs that are kept in memory. When there are as many, the events that they lack are read from the
 * log. Builds that are being fed differ by a moment, so there are rarely as many.
 */
const MOST_UNEVEN = 10_000;

/**
 * Compares two builds of one projection document by document, while both builds are being fed. If one build's copy of a
 * document is at an older log position, the events in between are first folded into that copy. The memory that this
 * needs does not depend on the number of documents.
 */
export async function compareBuilds<Doc>(
  stores: ReadModelStores,
  projection: Projection<Doc>,
  [first, second]: readonly [BuildName, BuildName],
): Promise<BuildComparison> {
  const { store } = stores;
  // The checkpoints are read before the documents. Both builds hold every event up to `common`, so only later events
  // have to be folded in.
  const common = earlier(await store.checkpoint(first), await store.checkpoint(second));
  const uneven = new Map<string, UnevenPair<Doc>>();
  const examples: string[] = [];
  let documents = 0;
  let different = 0;
  const compare = (id: string, a: unknown, b: unknown) => {
    if (isDeepStrictEqual(a, b)) return;
    different += 1;
    if (examples.length < EXAMPLES) examples.push(id);
  };
  const compareUneven = async () => {
    await foldOn(stores, projection, uneven, common);
    for (const [id, { behind, ahead }] of uneven) compare(id, behind, ahead);
    uneven.clear();
  };
  for await (const [id, a, b] of pairs<Doc>(stores, first, second)) {
    documents += 1;
    if (a?.position === b?.position) compare(id, a, b);
    else if (a && (!b || b.position < a.position)) uneven.set(id, { behind: b, ahead: a });
    else if (b) uneven.set(id, { behind: a, ahead: b });
    if (uneven.size === MOST_UNEVEN) await compareUneven();
  }
  await compareUneven();
  return { documents, different, examples };
}

const earlier = (a: Checkpoint | undefined, b: Checkpoint | undefined): Checkpoint | undefined =>
  a === undefined || b === undefined ? undefined : a.position < b.position ? a : b;

/**
 * Yields pairs of one document from each build, in the order of the documents' ids. The ids are ASCII, so all stores
 * sort them alike.
 */
async function* pairs<Doc>(
  { store }: ReadModelStores,
  first: BuildName,
  second: BuildName,
): AsyncGenerator<[id: string, StoredDocument<Doc> | undefined, StoredDocument<Doc> | undefined]> {
  let afterId: string | undefined;
  for (;;) {
    const [a, b] = [await store.scan<Doc>(first, afterId, PAGE), await store.scan<Doc>(second, afterId, PAGE)];
    // If one build's page is full, documents of the other build that come after the end of this page belong to the next
    // page.
    const ends = [a, b].flatMap((page) => (page.length === PAGE ? page.slice(-1).map(({ id }) => id) : []));
    const end = ends.toSorted()[0];
    const within = ({ id }: StoredDocument) => end === undefined || id <= end;
    const inFirst = new Map(a.filter(within).map((document) => [document.id, document]));
    const inSecond = new Map(b.filter(within).map((document) => [document.id, document]));
    for (const id of new Set([...inFirst.keys(), ...inSecond.keys()])) yield [id, inFirst.get(id), inSecond.get(id)];
    if (end === undefined) return;
    afterId = end;
  }
}

async function foldOn<Doc>(
  { log }: ReadModelStores,
  projection: Projection<Doc>,
  uneven: ReadonlyMap<string, UnevenPair<Doc>>,
  common: Checkpoint | undefined,
): Promise<void> {
  if (uneven.size === 0) return;
  const leftOut = new LeftOutEvents(log);
  const end = [...uneven.values()].reduce(
    (furthest, { ahead }) => (ahead.position > furthest ? ahead.position : furthest),
    '',
  );
  let ordinal = common?.nextOrdinal ?? 0;
  for await (const recorded of eventsToNow(log, { after: common?.position })) {
    if (recorded.position > end) return;
    if (!isSelected(projection, recorded)) continue;
    const number = projection.isNumbered && ordinal++;
    await applyingUnlessLeftOut(leftOut, projection.name, recorded, () => {
      const event = followed(recorded, number);
      for (const id of projection.documentsOf(event)) {
        const pair = uneven.get(id);
        if (pair && event.position <= pair.ahead.position) pair.behind = foldInto(projection, pair.behind, event, id);
      }
    });
  }
}
