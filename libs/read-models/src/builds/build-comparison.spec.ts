import type { EventLog } from '#event-log';
import { compareBuilds, projections } from '#read-models';
import { ClientBuilds } from '../../../../test/replay/client-builds.js';
import { clientNamed, type Stage } from '../../../../test/replay/stage.js';

const { clients } = projections;

describe('the builds of a projection', () => {
  let builds: ClientBuilds;
  let stage: Stage;

  beforeEach(async () => {
    builds = await ClientBuilds.open();
    ({ stage } = builds);
  });
  afterEach(() => builds.close());

  it('are equal if one is only behind, and differ if it lost an event', async () => {
    await stage.create('a');
    await stage.create('b');
    await stage.project(clients);
    const behind = 'clients_v4_1';
    const ahead = 'clients_v4_2';
    await stage.rename('a', 'In one of them');
    await stage.create('c');
    await stage.project(clients, { build: ahead });
    const equal = { documents: 3, different: 0, examples: [] };
    expect(await compareBuilds(stage.stores, clients, [behind, ahead])).toEqual(equal);
    expect(await compareBuilds(stage.stores, clients, [ahead, behind])).toEqual(equal);

    const [lost] = await stage.store.read(behind, [clientNamed('a')]);
    if (!lost) throw new Error('no such document');
    await stage.project(clients);
    const [current] = await stage.store.read(behind, [clientNamed('a')]);
    await stage.store.write(behind, [{ ...lost, expected: current?.position }]);
    const lacking = { documents: 3, different: 1, examples: [clientNamed('a')] };
    expect(await compareBuilds(stage.stores, clients, [behind, ahead])).toEqual(lacking);
  });

  it('are compared piece by piece, and a few examples are named, when very many documents differ', async () => {
    const first = await stage.create('a');
    await stage.store.prepare('clients_v4_1', clients);
    await stage.project(clients, { build: 'clients_v4_2' });
    const [document] = await stage.store.read('clients_v4_2', [clientNamed('a')]);
    if (!document || first.position === undefined) throw new Error('no such document');
    const ghosts = Array.from({ length: 10_500 }, (_, n) => ({ ...document, id: clientNamed(n), expected: undefined }));
    await stage.store.write('clients_v4_2', ghosts);
    let reads = 0;
    const log = Object.create(stage.log, {
      subscribe: {
        value: (...call: Parameters<EventLog['subscribe']>) => {
          reads += 1;
          return stage.log.subscribe(...call);
        },
      },
    }) as EventLog;
    const comparison = await compareBuilds({ ...stage.stores, log }, clients, ['clients_v4_1', 'clients_v4_2']);
    expect(comparison).toMatchObject({ documents: 10_501, different: 10_500 });
    expect(comparison.examples).toHaveLength(20);
    expect(reads).toBe(2);
  });
});
