import { type BuildName, compareWithLog, projections, type ReadStore } from '#read-models';
import { silent, Stage } from '../../../../test/replay/stage.js';

const { clients } = projections;
const SERVED: BuildName = `clients_v${clients.version}_1`;

describe('the comparison of a served build with the log', () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.open();
    for (let n = 0; n < 5; n++) await stage.create(n);
    await stage.project(clients, { build: SERVED });
    await stage.store.serve(clients, undefined, SERVED);
  });
  afterAll(() => stage.close());

  const compare = (store: ReadStore = stage.store) => {
    const { signal } = new AbortController();
    return compareWithLog({ ...stage.stores, store, projection: clients, observer: silent, signal });
  };

  it('finds the documents that differ, and leaves nothing behind', async () => {
    expect(await compare()).toEqual({ documents: 5, different: 0, examples: [] });
    const [document] = await stage.store.scan<object>(SERVED, undefined, 1);
    if (!document) throw new Error('There is no document');
    const wrong = { ...document, doc: { ...document.doc, name: 'Wrong' }, expected: document.position };
    await stage.store.write(SERVED, [wrong]);
    expect(await compare()).toEqual({ documents: 5, different: 1, examples: [document.id] });
    expect(await stage.store.builds('clients', clients.version)).toHaveLength(1);
  });

  it('creates no lists for documents that nobody queries', async () => {
    const prepared: BuildName[] = [];
    const prepare = (build: BuildName) => {
      prepared.push(build);
      return Promise.resolve();
    };
    await compare(Object.assign(Object.create(stage.store) as ReadStore, { prepare }));
    expect(prepared).toEqual([]);
  });
});
