import { setTimeout as delay } from 'node:timers/promises';
import { describeWithMongo } from '../servers/mongodb/mongo-server.js';
import { eventually } from '../support/api/http.js';
import { idleMs } from '../support/load/load-meter.js';
import { PortalLoad } from '../support/load/portal-load.js';
import { Random } from '../support/load/random.js';
import { ProductionSite } from '../support/processes/production-site.js';
import { PROJECTIONS } from '../support/processes/projections.js';
import type { Service } from '../support/processes/service.js';

const KILLS = 20;
const LONGEST_LIFE_MS = 600;

/**
 * To repeat the commands of a failed run, and the moments of its kills, set `KILL_SEED` to the seed in the name of the
 * failed test.
 */
const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 32));

describeWithMongo('projectors on EventStoreDB and MongoDB', () => {
  let site: ProductionSite;

  beforeEach(async () => {
    site = await ProductionSite.create();
  });
  afterEach(() => site.remove());

  /** Resolves to the names of the projections whose lease this projector holds. */
  const workOf = async (projector: Service): Promise<string[]> => {
    const figures = await Promise.all(
      PROJECTIONS.map((name) => projector.metric(`projection_at_work{projection="${name}"}`)),
    );
    return PROJECTIONS.filter((_, index) => figures[index] === 1);
  };
  const untilAtWork = (projector: Service) =>
    eventually(
      () => workOf(projector),
      (work) => work.length === PROJECTIONS.length,
    );

  it('work on each build one at a time; another takes over within 5 s', async () => {
    const first = await site.start('projector');
    await first.ready();
    await untilAtWork(first);
    const second = await site.start('projector');
    await second.ready();
    for (let look = 0; look < 20; look++) {
      expect(await Promise.all([workOf(first), workOf(second)])).toEqual([PROJECTIONS, []]);
    }
    await first.kill();
    expect(await idleMs(() => untilAtWork(second))).toBeLessThan(5_000);
    const third = await site.start('projector');
    await third.ready();
    expect(await workOf(third)).toEqual([]);
    // A projector that is stopped (not killed) releases its leases at once.
    await second.stop();
    expect(await idleMs(() => untilAtWork(third))).toBeLessThan(2_000);
  });

  it(`killed ${KILLS} times under load, leave read models that equal the fold of the log [KILL_SEED=${seed}]`, async () => {
    const random = new Random(seed);
    const management = await site.start('management');
    let projector = await site.start('projector');
    await Promise.all([management.ready(), projector.ready()]);
    const portal = await site.portal(management);
    const load = new PortalLoad({ writer: portal, readers: [portal], seed });

    for (let kill = 0; kill < KILLS; kill++) {
      const next = await site.start('projector');
      await untilAtWork(projector);
      await delay(random.next() * LONGEST_LIFE_MS);
      await projector.kill();
      projector = next;
    }
    await load.waitForReads(20);
    await load.stop();

    expect(load.unexpected).toEqual([]);
    await site.expectAllToBeRight();
    await Promise.all([management.ready(), projector.ready()]);
  });
});
