import { isDeepStrictEqual } from 'node:util';
import { eventsToNow } from '#event-log';
import { applying } from './log-follower.js';
import type { BuildName, StoredDocument } from './port.js';
import { type Projection, foldInto, followed } from './projection.js';
import type { ReadModelStores } from './projector.js';

export interface BuildComparison {
  /** Documents that are in one of the builds or in both. */
  readonly documents: number;
  /** Ids of those that differ, or are in one build only. */
  readonly different: readonly string[];
}

/** The same document in two builds, at different positions: compared when the one behind was folded on. */
interface UnevenPair<Doc> {
  behind: StoredDocument<Doc> | undefined;
  readonly ahead: StoredDocument<Doc>;
}

const PAGE = 1000;

/**
 * Compares two builds of one projection document by document while both are being fed: where a document is further in
 * one build than in the other, the events in between are folded into the one behind.
 */
export async function compareBuilds<Doc>(
  stores: ReadModelStores,
  projection: Projection<Doc>,
  [first, second]: readonly [BuildName, BuildName],
): Promise<BuildComparison> {
  const { store } = stores;
  // Read before the documents: what is not after it is in both builds, so a document that lacks it is wrong.
  const common = earlier((await store.checkpoint(first))?.position, (await store.checkpoint(second))?.position);
  const uneven = new Map<string, UnevenPair<Doc>>();
  const different: string[] = [];
  let documents = 0;
  for await (const [id, a, b] of pairs<Doc>(stores, first, second)) {
    documents += 1;
    if (a?.position === b?.position) {
      if (!isDeepStrictEqual(a, b)) different.push(id);
    } else if (a && (!b || b.position < a.position)) uneven.set(id, { behind: b, ahead: a });
    else if (b) uneven.set(id, { behind: a, ahead: b });
  }
  await foldOn(stores, projection, uneven, common);
  for (const [id, { behind, ahead }] of uneven) {
    if (!isDeepStrictEqual(behind, ahead)) different.push(id);
  }
  return { documents, different };
}

const earlier = (a: string | undefined, b: string | undefined): string | undefined =>
  a === undefined || b === undefined ? undefined : a < b ? a : b;

/** Both builds' documents in the order of their ids, which are ASCII. */
async function* pairs<Doc>(
  { store }: ReadModelStores,
  first: BuildName,
  second: BuildName,
): AsyncGenerator<[id: string, StoredDocument<Doc> | undefined, StoredDocument<Doc> | undefined]> {
  let afterId: string | undefined;
  for (;;) {
    const [a, b] = [await store.scan<Doc>(first, afterId, PAGE), await store.scan<Doc>(second, afterId, PAGE)];
    // Behind the end of a full page the other build's documents wait for the next page.
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
  common: string | undefined,
): Promise<void> {
  if (uneven.size === 0) return;
  const end = [...uneven.values()].reduce(
    (furthest, { ahead }) => (ahead.position > furthest ? ahead.position : furthest),
    '',
  );
  for await (const recorded of eventsToNow(log, { after: common })) {
    if (recorded.position > end) return;
    applying(projection.name, recorded, () => {
      const event = followed(recorded);
      for (const id of projection.documentsOf(event)) {
        const pair = uneven.get(id);
        if (pair && event.position <= pair.ahead.position) pair.behind = foldInto(projection, pair.behind, event, id);
      }
    });
  }
}
