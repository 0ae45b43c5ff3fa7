import { randomUUID } from 'node:crypto';
import type { ClientId } from '#domain';
import { openBookOfRecord } from '#event-log';
import { type ClientDocument, type Projection, projections } from '#read-models';
import { describeWithMongo } from '../servers/mongodb/mongo-server.js';
import { type Answer, eventually } from '../support/api/http.js';
import type { Portal } from '../support/api/portal.js';
import { inGroups } from '../support/load/in-groups.js';
import { PortalLoad } from '../support/load/portal-load.js';
import { ProductionSite } from '../support/processes/production-site.js';
import { Release } from '../support/processes/release.js';

const { clients, history, subscriptions, usage } = projections;

/** Number of clients. With so many clients, filling a new build (copy of a projection's documents) takes a while. */
const CLIENTS = 1_000;
const PAGE = 200;
const CALLERS = 2;

/** To repeat the commands of a failed run, set `UPGRADE_SEED` to the seed in the name of the failed test. */
const seed = Number(process.env.UPGRADE_SEED ?? Math.floor(Math.random() * 2 ** 32));

interface CountedClient extends ClientDocument {
  readonly subscriptionCount: number;
}

const [OLD, NEW] = [clients.version, clients.version + 1];

/** The projection `clients` in the next release, whose new version has another field. */
const countedClients: Projection<CountedClient> = {
  ...clients,
  version: NEW,
  apply: (client, event, id) => {
    const changed = clients.apply(client, event, id);
    return { ...changed, subscriptionCount: changed.subscriptions.length };
  },
};

const nextRelease = () =>
  Release.make([
    { file: 'libs/read-models/src/projections/clients.js', from: `version: ${OLD},`, to: `version: ${NEW},` },
    {
      file: 'libs/read-models/src/projections/clients.js',
      from: '    apply,',
      to: `    apply: (client, event) => {
        const { subscriptionCount, ...before } = client ?? {};
        const changed = apply(client && before, event);
        return { ...changed, subscriptionCount: changed.subscriptions.length };
    },`,
    },
    {
      file: 'libs/read-models/src/projections/clients.js',
      from: "nameKey: 'string',",
      to: "nameKey: 'string', subscriptionCount: 'integer',",
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
        context: {
          ...{ commandId, commandHash: '', workspaceId: 'acme', correlationId: commandId, causationId: commandId },
          actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
        },
      },
    );
  };
  const numbers = Array.from({ length: CLIENTS }, (_, n) => n);
  await inGroups(numbers, create);
}

describeWithMongo('an upgrade to a new version of a projection, on EventStoreDB and MongoDB', () => {
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

  /**
   * Stops the loads, and expects that every call got a right answer. A read model may be behind for a moment, because
   * the machine is busy.
   */
  const expectUndisturbed = async (...loads: PortalLoad[]) => {
    await Promise.all(loads.map((each) => each.stop()));
    const refusals = loads.flatMap(({ refused }) => refused).filter((refusal) => refusal !== '503 READ_MODEL_BEHIND');
    expect([...loads.flatMap(({ unexpected }) => unexpected), ...refusals]).toEqual([]);
  };

  /**
   * Reads the oldest clients and the last client through this portal. Resolves to the text `waits` if the portal gets
   * 503.
   */
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

  it(`lets both versions answer side by side, and shows no build before it is complete [UPGRADE_SEED=${seed}]`, async () => {
    await createMany(site);
    const [oldManagement, oldProjector] = [await site.start('management'), await site.start('projector')];
    await Promise.all([oldManagement.ready(), oldProjector.ready()]);
    const oldPortal = await site.portal(oldManagement);
    const before = load(oldPortal, oldPortal);
    await before.waitForReads(20);

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
    await before.waitForReads(20);
    await expectUndisturbed(before);

    const both = [load(oldPortal, oldPortal, newPortal), load(newPortal, newPortal, oldPortal)];
    await Promise.all(both.map((each) => each.waitForReads(60)));
    await expectUndisturbed(...both);
    expect((await newPortal.get(clientNamed(0))).body).toHaveProperty('subscriptionCount', 0);
    expect((await oldPortal.get(clientNamed(0))).body).not.toHaveProperty('subscriptionCount');
    await site.expectAllToBeRight([clients, countedClients, subscriptions, history, usage]);

    const after = load(newPortal, newPortal);
    await after.waitForReads(10);
    expect(await Promise.all([oldManagement.stop(), oldProjector.stop()])).toEqual([0, 0]);
    await after.waitForReads(60);
    await expectUndisturbed(after);
    await site.expectAllToBeRight([countedClients, subscriptions, history, usage]);
  });
});
