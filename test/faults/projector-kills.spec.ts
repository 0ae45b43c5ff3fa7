import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/http.js';
import { describeWithOwnMongo } from '../support/mongodb/mongo-server.js';
import { PortalLoad } from '../support/portal-load.js';
import { ProductionSite } from '../support/production-site.js';
import { Random } from '../support/random.js';
import type { Service } from '../support/service.js';

/** Each kill costs the next projector the former's lease, 2 s. */
jest.setTimeout(240_000);

const KILLS = 20;
const LONGEST_LIFE_MS = 600;

/** `KILL_SEED` repeats the moments and the commands of a run that failed. */
const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 32));

describeWithOwnMongo('projectors on EventStoreDB and MongoDB', () => {
  let site: ProductionSite;

  beforeEach(async () => {
    site = await ProductionSite.create();
  });
  afterEach(() => site.remove());

  const untilAtWork = (projector: Service) =>
    eventually(
      () => projector.metric('projection_at_work{projection="clients"}'),
      (figure) => figure === 1,
      30,
    );

  it(`killed ${KILLS} times under load, leave the fold of the log behind [KILL_SEED=${seed}]`, async () => {
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
    await load.isRead(20);
    await load.stop();

    expect(load.strange).toEqual([]);
    await site.expectAllToBeRight();
    await Promise.all([management.ready(), projector.ready()]);
  });
});
