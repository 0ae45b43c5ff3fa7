import { isLeaf } from '#event-log';
import { ReadModelQueries, tree } from '#read-models';
import { TreeReader } from '#tree-heads';
import { Stage } from '../../test/replay/stage.js';
import { LeafCounts } from './index.js';

let stage: Stage;
beforeEach(async () => {
  stage = await Stage.open();
});
afterEach(() => stage.close());

const fresh = () => new LeafCounts(stage.log, new TreeReader(new ReadModelQueries(stage.stores), stage.log));

describe('The number of leaves up to a position', () => {
  it('is told by the tiles, and behind them by counting, and is the same at every event', async () => {
    for (let label = 0; label < 300; label += 1) await stage.create(label);
    await stage.project(tree);
    await stage.store.serve(tree, undefined, 'tree_v1_1');
    for (let label = 300; label < 600; label += 1) await stage.create(label);
    const counts = fresh();
    const read = jest.spyOn(stage.log, 'readAll');
    let leaves = 0;
    for (const event of await stage.events()) {
      if (isLeaf(event)) leaves += 1;
      if (leaves % 50 < 2 || leaves % 256 < 2)
        expect([event.position, await fresh().upTo(event.position)]).toEqual([event.position, leaves]);
      expect(await counts.upTo(event.position)).toBe(leaves);
    }
    expect(leaves).toBeGreaterThan(600);
    read.mockClear();
    const [last] = await stage.log.readAll({ direction: 'backwards', limit: 1 });
    expect(await counts.upTo(last?.position)).toBe(leaves);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('is none at the start of the log', async () => {
    expect(await fresh().upTo(undefined)).toBe(0);
  });
});
