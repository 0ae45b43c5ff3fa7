import { randomUUID } from 'node:crypto';
import type { ClientId } from '#domain';
import { openBookOfRecord } from '#event-log';
import { type ClientDocument, type Projection, clients, history, subscriptions } from '#read-models';
import { type Answer, eventually } from '../support/http.js';
import { describeWithOwnMongo } from '../support/mongodb/mongo-server.js';
import type { Portal } from '../support/portal.js';
import { PortalLoad } from '../support/portal-load.js';
import { ProductionSite } from '../support/production-site.js';
import { Release } from '../support/release.js';

/** Two releases' processes start, beside three loads one after another. */
jest.setTimeout(120_000);

/** So many that a build takes a while. */
const CLIENTS = 1_000;
const BUILD_SECONDS = 30;
const PAGE = 200;
const CALLERS = 2;

/** `UPGRADE_SEED` repeats the commands of a run that failed. */
const seed = Number(process.env.UPGRADE_SEED ?? Math.floor(Math.random() * 2 ** 32));

interface CountedClient extends ClientDocument {
  readonly subscriptionCount: number;
}

/** The next release's: version 2, with a field that version 1 lacks. */
const countedClients: Projection<CountedClient> = {
  ...clients,
  version: 2,
  apply: (client, event, id) => {
    const changed = clients.apply(client, event, id);
    return { ...changed, subscriptionCount: changed.subscriptions.length };
  },
};

const nextRelease = () =>
  Release.make([
    { file: 'libs/read-models/src/clients.js', from: 'version: 1,', to: 'version: 2,' },
    {
      file: 'libs/read-models/src/clients.js',
      from: '    apply,',
      to: `    apply: (client, event) => {
        const { subscriptionCount, ...before } = client ?? {};
        const changed = apply(client && before, event);
        return { ...changed, subscriptionCount: changed.subscriptions.length };
    },`,
    },
    {
      file: 'libs/read-models/mongodb/validation.js',
      from: 'nameKey: string,',
      to: 'nameKey: string, subscriptionCount: int,',
    },
  ]);

const clientNamed = (n: number): ClientId => `cc_${String(n).padStart(20, '0')}`;

async function createMany({ log }: ProductionSite): Promise<void> {
  const book = await openBookOfRecord(log, () => new Date());
  const create = async (n: number) => {
    const [clientId, commandId] = [clientNamed(n), randomUUID()];
    const verifier = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$bm9ib2R5IGtub3dzIGl0';
    await book.clients.execute(
      clientId,
      {
        ...{ type: 'CreateClient', clientId, workspaceId: 'acme', name: `Client ${n}` },
        ...{ authenticationType: 'OAUTH2', verifier, at: new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString() },
      },
      {
        ...{ commandId, commandHash: '', workspaceId: 'acme', correlationId: commandId, causationId: commandId },
        actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
      },
    );
  };
  for (let n = 0; n < CLIENTS; n += 50) await Promise.all(Array.from({ length: 50 }, (_, index) => create(n + index)));
}

describeWithOwnMongo('an upgrade from version 1 of a projection to version 2, on EventStoreDB and MongoDB', () => {
  let site: ProductionSite;
  let release: Release;

  beforeEach(async () => {
    site = await ProductionSite.create();
    release = nextRelease();
  });
  afterEach(async () => {
    await site.remove();
    release.remove();
  });

  const load = (writer: Portal, ...readers: Portal[]) =>
    new PortalLoad({ writer, readers, seed, callers: CALLERS, prefix: randomUUID().slice(0, 8) });

  /** All were answered, and rightly. */
  const expectUndisturbed = async (...loads: PortalLoad[]) => {
    await Promise.all(loads.map((each) => each.stop()));
    expect(loads.flatMap(({ strange, refused }) => [...strange, ...refused])).toEqual([]);
  };

  /** What a portal sees of the oldest clients and of the last one, or that it must wait. */
  const look = async (portal: Portal): Promise<'waits' | { oldest: number; last: string }> => {
    const [list, last] = await Promise.all([portal.list({ limit: PAGE }), portal.get(clientNamed(CLIENTS - 1))]);
    const mustWait = (answer: Answer<unknown>) => {
      if (answer.status !== 503) return false;
      expect([answer.refusal, answer.header('retry-after')]).toEqual(['503 READ_MODEL_NOT_READY', '1']);
      return true;
    };
    if ([mustWait(list), mustWait(last)].some(Boolean)) return 'waits';
    return { oldest: list.body.items.length, last: last.body.name };
  };

  it(`lets both answer side by side, and shows no build before it is whole [UPGRADE_SEED=${seed}]`, async () => {
    await createMany(site);
    const [oldManagement, oldProjector] = [await site.start('management'), await site.start('projector')];
    await Promise.all([oldManagement.ready(BUILD_SECONDS), oldProjector.ready(BUILD_SECONDS)]);
    const oldPortal = await site.portal(oldManagement);
    const before = load(oldPortal, oldPortal);
    await before.isRead(20);

    const newManagement = await site.start('management', release.folder);
    const newPortal = await site.portal(newManagement);
    const { text } = await eventually(
      () => newManagement.readiness(),
      (readiness) => /"event log":"up".*"read store":"up"/.test(readiness.text),
    );
    expect(text).toContain('"read model clients":"down"');
    expect(await look(newPortal)).toBe('waits');
    const newProjector = await site.start('projector', release.folder);
    const looks = [];
    for (let isReady = false; !isReady;) {
      isReady = (await newManagement.readiness()).status === 200;
      looks.push(await look(newPortal));
    }
    expect(looks.at(-1)).not.toBe('waits');
    for (const seen of looks) {
      if (seen !== 'waits') expect(seen).toEqual({ oldest: PAGE, last: `Client ${CLIENTS - 1}` });
    }
    await newProjector.ready();
    await before.isRead(20);
    await expectUndisturbed(before);

    const both = [load(oldPortal, oldPortal, newPortal), load(newPortal, newPortal, oldPortal)];
    await Promise.all(both.map((each) => each.isRead(60)));
    await expectUndisturbed(...both);
    expect((await newPortal.get(clientNamed(0))).body).toHaveProperty('subscriptionCount', 0);
    expect((await oldPortal.get(clientNamed(0))).body).not.toHaveProperty('subscriptionCount');
    await site.expectAllToBeRight([clients, countedClients, subscriptions, history]);

    const after = load(newPortal, newPortal);
    await after.isRead(10);
    expect(await Promise.all([oldManagement.stop(), oldProjector.stop()])).toEqual([0, 0]);
    await after.isRead(60);
    await expectUndisturbed(after);
    await site.expectAllToBeRight([countedClients, subscriptions, history]);
  });
});
