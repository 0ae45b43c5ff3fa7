import { isPassed, projections, spotCheck } from '#read-models';
import { ClientBuilds } from '../../../../test/replay/client-builds.js';
import { clientNamed, type Stage, until } from '../../../../test/replay/stage.js';
import { endOfLog } from '../../../../test/support/events/end-of-log.js';
import { inGroups } from '../../../../test/support/load/in-groups.js';

const { clients } = projections;

describe('the builds of a projection', () => {
  let builds: ClientBuilds;
  let stage: Stage;

  beforeEach(async () => {
    builds = await ClientBuilds.open();
    ({ stage } = builds);
  });
  afterEach(() => builds.close());

  it('are counted, and at least 1,000 documents compared, while events come', async () => {
    const labels = Array.from({ length: 2_500 }, (_, n) => n);
    await inGroups(labels, (n) => stage.create(n));
    await stage.project(clients);
    const { signal } = builds.stop;
    const check = () => spotCheck({ ...stage.stores, projection: clients, build: 'clients_v4_1', signal });
    expect(await check()).toEqual({ documents: 2_500, expected: { least: 2_500, most: 2_500 }, different: [] });
    builds.serve();
    const coming = Promise.all(
      Array.from({ length: 50 }, (_, n) => [stage.create(`new${n}`), stage.rename(n, `New name ${n}`)]).flat(),
    );
    expect(isPassed(await check())).toBe(true);
    await coming;
    await until(async () => (await stage.store.checkpoint('clients_v4_1'))?.position === (await endOfLog(stage.log)));

    for (let n = 0; n < 2_500; n += 100) await builds.corrupt('clients_v4_1', n);
    const { different } = await check();
    expect(different.length).toBeGreaterThan(0);
    const [stored] = await stage.store.read('clients_v4_1', [clientNamed(1)]);
    if (!stored) throw new Error('no such document');
    await stage.store.write('clients_v4_1', [{ ...stored, id: clientNamed('ghost'), expected: undefined }]);
    expect(await check()).toMatchObject({ documents: 2_551, expected: { least: 2_550, most: 2_550 } });
  });
});
