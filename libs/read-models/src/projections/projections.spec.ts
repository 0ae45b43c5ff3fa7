import { verifyChain } from '#events';
import {
  type ClientDocument,
  gramsOf,
  type HistoryDocument,
  projections,
  readModels,
  recordedEventOf,
  type SubscriptionDocument,
} from '#read-models';
import { clientNamed, plainFold, Stage, verifier, VERIFIER_MARK, WORKSPACE } from '../../../../test/replay/stage.js';

const { clients, subscriptions } = projections;

describe('the lists', () => {
  let stage: Stage;
  beforeEach(async () => {
    stage = await Stage.open();
  });
  afterEach(() => stage.close());

  const client = async (label: string) => {
    const found = plainFold(clients, await stage.events()).get(clientNamed(label));
    if (!found) throw new Error('not listed');
    return found;
  };
  const rotate = (label: string, overlapSeconds: number) =>
    stage.client(clientNamed(label), {
      ...{ type: 'RotateSecret', workspaceId: WORKSPACE, verifier: verifier(label), overlapSeconds, at: stage.at() },
    });

  it('contain a client from its creation on, found by its name in any spelling', async () => {
    await stage.create('a', '  Ｏｒｄｅｒｓ Importer ');
    expect(await client('a')).toMatchObject({
      revision: 0n,
      doc: {
        clientId: clientNamed('a'),
        workspaceId: WORKSPACE,
        name: 'Ｏｒｄｅｒｓ Importer',
        nameKey: 'orders importer',
        nameGrams: gramsOf('orders importer'),
        authenticationType: 'API_KEY',
        status: 'ACTIVE',
        createdAt: '2026-03-01T00:00:01.000Z',
        labels: [],
        credentials: [{ generation: 1, createdAt: '2026-03-01T00:00:01.000Z' }],
        subscriptions: [],
        subscriptionIds: [],
        labelPairs: [],
      } satisfies ClientDocument,
    });
    await stage.rename('a', 'Billing');
    expect(await client('a')).toMatchObject({ revision: 1n, doc: { name: 'Billing', nameKey: 'billing' } });
    expect((await client('a')).doc.nameGrams).toEqual(gramsOf('billing'));
  });

  it('show the newest credential, and the one before it while its overlap lasts', async () => {
    await stage.create('a');
    await rotate('a', 60);
    expect((await client('a')).doc.credentials).toEqual([
      { generation: 1, createdAt: '2026-03-01T00:00:01.000Z', expiresAt: '2026-03-01T00:01:02.000Z' },
      { generation: 2, createdAt: '2026-03-01T00:00:02.000Z' },
    ]);
    await stage.client(clientNamed('a'), {
      ...{ type: 'RetireCredential', workspaceId: WORKSPACE, generation: 1, at: stage.at() },
    });
    expect((await client('a')).doc.credentials).toEqual([{ generation: 2, createdAt: '2026-03-01T00:00:02.000Z' }]);
    await rotate('a', 60);
    await rotate('a', 0);
    expect((await client('a')).doc.credentials).toEqual([{ generation: 4, createdAt: '2026-03-01T00:00:05.000Z' }]);
  });

  it('show subscriptions in the order of their assignment', async () => {
    await stage.create('a');
    await stage.register('weather');
    await stage.register('maps');
    await stage.assign('a', 'weather');
    await stage.assign('a', 'maps');
    const { doc } = await client('a');
    expect(doc.subscriptionIds).toEqual(['weather', 'maps']);
    expect(doc.subscriptions[1]).toEqual({
      ...{ subscriptionId: 'maps', endpointUri: 'maps', serviceName: 'Service maps' },
      assignedAt: '2026-03-01T00:00:05.000Z',
    });
    await stage.client(clientNamed('a'), {
      ...{ type: 'UnassignFromSubscription', workspaceId: WORKSPACE, subscriptionId: 'weather', reason: 'REQUESTED' },
      at: stage.at(),
    });
    expect((await client('a')).doc.subscriptionIds).toEqual(['maps']);
  });

  it('move a revoked client to the other table, without credentials and subscriptions', async () => {
    await stage.create('a');
    await stage.register('weather');
    await stage.assign('a', 'weather');
    await stage.revoke('a', 'contract over');
    expect((await client('a')).doc).toEqual({
      clientId: clientNamed('a'),
      workspaceId: WORKSPACE,
      name: 'Client a',
      nameKey: 'client a',
      nameGrams: gramsOf('client a'),
      authenticationType: 'API_KEY',
      status: 'REVOKED',
      createdAt: '2026-03-01T00:00:01.000Z',
      revokedAt: '2026-03-01T00:00:04.000Z',
      revocationReason: 'contract over',
      labels: [],
      credentials: [],
      subscriptions: [],
      subscriptionIds: [],
      labelPairs: [],
    } satisfies ClientDocument);
  });

  it('update a client’s revision, for If-Match, even by events that change nothing visible', async () => {
    await stage.create('a');
    const [issuedAt, expiresAt] = ['2026-03-01T00:00:01.000Z', '2027-03-01T00:00:01.000Z'];
    const token = { generation: 1, jti: 'jti-1', kid: 'kid-1', issuedAt, expiresAt, header: {}, claims: {} };
    await stage.client(clientNamed('a'), { type: 'IssueStaticToken', token, compromisedKids: [], at: stage.at() });
    expect((await client('a')).revision).toBe(1n);
  });

  it('contain a subscription, live and then ended', async () => {
    await stage.register('weather', 'Weather Forecasts');
    await stage.subscription('weather', {
      ...{ type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'contract over', at: stage.at() },
    });
    expect([...plainFold(subscriptions, await stage.events()).values()]).toMatchObject([
      {
        id: 'weather',
        revision: 1n,
        doc: {
          subscriptionId: 'weather',
          workspaceId: WORKSPACE,
          endpointUri: 'weather',
          serviceName: 'Weather Forecasts',
          serviceNameKey: 'weather forecasts',
          status: 'ENDED',
          registeredAt: '2026-03-01T00:00:01.000Z',
          endedAt: '2026-03-01T00:00:02.000Z',
          endReason: 'contract over',
        } satisfies SubscriptionDocument,
      },
    ]);
  });

  it('contain a client’s history, whose hash chain can be verified without its secrets', async () => {
    await stage.create('a');
    await stage.create('b');
    await rotate('a', 60);
    await stage.revoke('a');
    await stage.projectAll();
    const page = await stage.store.find<HistoryDocument>('history_v3_1', {
      equals: { stream: `consumerClient-${clientNamed('a')}` },
      sort: { field: 'positionKey', direction: 'asc' },
      limit: 10,
    });
    expect(page.map(({ doc }) => [doc.revision, doc.type])).toEqual([
      ['0', 'ConsumerClientCreated'],
      ['1', 'ConsumerClientSecretRotated'],
      ['2', 'ConsumerClientRevoked'],
    ]);
    expect(page[0]?.doc).toMatchObject({
      ...{
        stream: `consumerClient-${clientNamed('a')}`,
        workspaceId: WORKSPACE,
        actor: { subject: 'portal' },
        schemaVersion: 2,
      },
      data: { name: 'Client a', verifier: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string } },
    });
    const events = page.map(recordedEventOf);
    const stream = `consumerClient-${clientNamed('a')}`;
    expect(await verifyChain(stream, events)).toMatchObject({ whole: true, last: { revision: 2n } });
    const forged = events.map((event) => ({ ...event, data: { ...event.data, name: 'Mallory' } }));
    expect(await verifyChain(stream, forged)).toMatchObject({ whole: false, revision: 0n });
  });

  it('hold no verifier in any document', async () => {
    await stage.create('a');
    await rotate('a', 60);
    await stage.revoke('a');
    const events = await stage.events();
    expect(JSON.stringify(events.map(({ data }) => data))).toContain(VERIFIER_MARK);
    for (const projection of readModels) {
      const documents = [...plainFold(projection, events).values()].map(({ doc }) => doc);
      expect(JSON.stringify(documents)).not.toContain(VERIFIER_MARK);
      expect(JSON.stringify(documents)).not.toContain('$argon2id');
    }
  });
});
