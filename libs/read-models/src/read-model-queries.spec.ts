import { type EventLog, LogUnavailable, RebuildNeeded } from '#event-log';
import {
  type ClientDocument,
  ForeignConsistencyToken,
  InvalidCursor,
  type ListQuery,
  NotCaughtUp,
  NotReady,
  projections,
  ReadModelQueries,
  type ReadStore,
  ServedProjection,
} from '#read-models';
import { clientNamed, silent, Stage, until, WORKSPACE } from '../../../test/replay/stage.js';

const { clients, subscriptions } = projections;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

describe('queries of a read model', () => {
  let stage: Stage;
  let queries: ReadModelQueries;
  let stop: AbortController;
  let running: Promise<void>[];

  beforeEach(async () => {
    stage = await Stage.open();
    queries = new ReadModelQueries(stage.stores);
    stop = new AbortController();
    running = [];
  });

  afterEach(async () => {
    stop.abort();
    await Promise.all(running);
    await stage.close();
  });

  const serve = () => {
    running.push(new ServedProjection({ ...stage.stores, projection: clients, observer: silent }).run(stop.signal));
    return until(async () => (await stage.store.served('clients', clients.version)) !== undefined);
  };
  const active = (list: Partial<ListQuery> = {}): ListQuery => ({
    equals: { workspaceId: WORKSPACE, status: 'ACTIVE' },
    sort: { field: 'createdAt', direction: 'asc' },
    limit: 3,
    ...list,
  });
  const names = (items: readonly { doc: ClientDocument }[]) => items.map(({ doc }) => doc.name);

  it('are refused until a build is served', async () => {
    await expect(queries.at(clients)).rejects.toThrow(NotReady);
    await serve();
    expect(await (await queries.at(clients)).get('cc_unknown')).toBeUndefined();
    await expect(queries.at(subscriptions)).rejects.toThrow(NotReady);
  });

  it('read many documents in one call of the store, also with a token, and none for no ids', async () => {
    await stage.create('a');
    const token = stage.token(await stage.create('b'));
    await serve();
    const readModel = await queries.at(clients, token);
    const read = jest.spyOn(stage.store, 'read');
    const found = await readModel.getAll([clientNamed('a'), clientNamed('b'), 'cc_unknown']);
    expect([...found].map(([id, { name }]) => [id, name]).sort()).toEqual([
      [clientNamed('a'), 'Client a'],
      [clientNamed('b'), 'Client b'],
    ]);
    expect(await readModel.getAll([])).toEqual(new Map());
    // The projector reads only the documents that an event changes, and no event comes here.
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('always see the effect of their token’s command', async () => {
    await stage.create('a');
    await serve();
    for (let n = 0; n < 100; n++) {
      const token = stage.token(await stage.rename('a', `Name ${n}`));
      expect((await (await queries.at(clients, token)).get(clientNamed('a')))?.doc.name).toBe(`Name ${n}`);
    }
  });

  it('wait for a token for a limited time, and are answered as soon as it is reached', async () => {
    await stage.create('a');
    await stage.project(clients);
    await stage.store.serve(clients, undefined, 'clients_v4_1');
    const token = stage.token(await stage.rename('a', 'Not projected yet'));
    const hurriedQueries = new ReadModelQueries({ ...stage.stores, timeoutMs: 30 });
    await expect(hurriedQueries.at(clients, token)).rejects.toThrow(NotCaughtUp);
    expect(await (await hurriedQueries.at(clients)).get(clientNamed('a'))).toMatchObject({ doc: { name: 'Client a' } });

    const waiting = Promise.all(Array.from({ length: 50 }, () => queries.at(clients, token)));
    await stage.project(clients);
    for (const readModel of await waiting) {
      expect((await readModel.get(clientNamed('a')))?.doc.name).toBe('Not projected yet');
    }
  });

  it('verify again that the documents come from this log whenever it was unreachable', async () => {
    await stage.create('a');
    await serve();
    const log = Object.assign(Object.create(stage.log) as EventLog, { connectionEpoch: 0 });
    const queries = new ReadModelQueries({ ...stage.stores, log });
    const token = stage.token(await stage.rename('a', 'Before the outage'));
    const read = async (after?: typeof token) => (await (await queries.at(clients, after)).get(clientNamed('a')))?.doc;
    expect(await read(token)).toMatchObject({ name: 'Before the outage' });

    const away = () => Promise.reject(new LogUnavailable('It is away'));
    Object.assign(log, { connectionEpoch: 1, readStream: away, eventAt: away, end: away });
    await expect(read(token)).rejects.toThrow(LogUnavailable);
    expect(await read()).toMatchObject({ name: 'Before the outage' });

    const eventAt: EventLog['eventAt'] = async (position) =>
      position < token.position ? stage.log.eventAt(position) : undefined;
    const end: EventLog['end'] = async () =>
      (await stage.log.readAll({ after: token.position, direction: 'backwards', limit: 1 }))[0]?.position;
    const readStream: EventLog['readStream'] = (...args) => stage.log.readStream(...args);
    Object.assign(log, { connectionEpoch: 2, readStream, eventAt, end });
    await expect(read(token)).rejects.toThrow(RebuildNeeded);
    await expect(read()).rejects.toThrow(RebuildNeeded);
  });

  it('with a token never answer from a store that was restored to an older state after its checkpoint was read', async () => {
    await stage.create('a');
    await serve();
    const token = stage.token(await stage.rename('a', 'Before the restore'));
    const restored = Object.create(stage.store) as Mutable<ReadStore>;
    restored.connectionEpoch = 0;
    restored.read = async <Doc>(...[build, ids]: Parameters<ReadStore['read']>) => {
      const found = await stage.store.read<Doc>(build, ids);
      if (restored.connectionEpoch > 0) return found;
      restored.connectionEpoch++;
      return found.map((stored) => ({ ...stored, doc: { ...stored.doc, name: 'Of the older state' } }));
    };
    const queries = new ReadModelQueries({ ...stage.stores, store: restored });
    const found = await (await queries.at(clients, token)).get(clientNamed('a'));
    expect(found?.doc.name).toBe('Before the restore');
  });

  it('refuse a token of another log', async () => {
    await stage.create('a');
    await serve();
    const token = { logId: '00000000-0000-4000-8000-000000000000', position: '0'.repeat(20) };
    await expect(queries.at(clients, token)).rejects.toThrow(ForeignConsistencyToken);
  });

  it('list page by page, while documents change in between', async () => {
    for (let n = 0; n < 8; n++) await stage.create(n);
    await serve();
    const first = await (await queries.at(clients)).page(active());
    expect(names(first.items)).toEqual(['Client 0', 'Client 1', 'Client 2']);
    await stage.revoke(0);
    const token = stage.token(await stage.revoke(4));
    const readModel = await queries.at(clients, token);
    const second = await readModel.page(active({ cursor: first.nextCursor ?? '', limit: 2 }));
    expect(names(second.items)).toEqual(['Client 3', 'Client 5']);
    const third = await readModel.page(active({ cursor: second.nextCursor ?? '', limit: 2 }));
    expect(names(third.items)).toEqual(['Client 6', 'Client 7']);
    expect(third).not.toHaveProperty('nextCursor');
  });

  it('list several values of a field together; a document that changes its value meanwhile is there once', async () => {
    for (let n = 0; n < 6; n++) await stage.create(n);
    await serve();
    const token = stage.token(await stage.revoke(1));
    const readModel = await queries.at(clients, token);
    const find = stage.store.find.bind(stage.store);
    const both = (list: Partial<ListQuery> = {}) =>
      readModel.page({
        ...active(list),
        equals: { workspaceId: WORKSPACE },
        anyOf: { field: 'status', values: ['ACTIVE', 'REVOKED'] },
      });
    jest.spyOn(stage.store, 'find').mockImplementationOnce(async (build, query) => {
      const found = await find(build, query);
      // Between the two tables, a client on this page and one on a later page are revoked.
      await stage.revoke(0);
      const revoked = stage.token(await stage.revoke(4));
      await until(async () => ((await stage.store.checkpoint(build))?.position ?? '') >= revoked.position);
      return found;
    });
    const first = await both();
    expect(first.items.map(({ doc }) => [doc.name, doc.status])).toEqual([
      ['Client 0', 'REVOKED'],
      ['Client 1', 'REVOKED'],
      ['Client 2', 'ACTIVE'],
    ]);
    const second = await both({ cursor: first.nextCursor ?? '' });
    expect(names(second.items)).toEqual(['Client 3', 'Client 4', 'Client 5']);
    const backwards = await both({ sort: { field: 'nameKey', direction: 'desc' }, limit: 6 });
    expect(names(backwards.items)).toEqual([5, 4, 3, 2, 1, 0].map((n) => `Client ${n}`));
  });

  it('list in every documented way', async () => {
    await stage.register('weather');
    for (const name of ['Orders', 'Orchard', 'Billing']) await stage.create(name, name);
    await stage.assign('Billing', 'weather');
    await serve();
    const readModel = await queries.at(clients, stage.token(await stage.revoke('Orchard')));
    const byName = { field: 'nameKey', direction: 'asc' } as const;
    const prefix = { field: 'nameKey', value: 'or' };
    const contains = { field: 'subscriptionIds', value: 'weather' };
    const revoked = { workspaceId: WORKSPACE, status: 'REVOKED' };
    const list = async (query: Partial<ListQuery>) => names((await readModel.page(active(query))).items);
    expect(await list({ sort: { field: 'createdAt', direction: 'desc' } })).toEqual(['Billing', 'Orders']);
    expect(await list({ sort: byName })).toEqual(['Billing', 'Orders']);
    expect(await list({ sort: byName, prefix })).toEqual(['Orders']);
    expect(await list({ contains })).toEqual(['Billing']);
    for (const sort of ['createdAt', 'nameKey', 'revokedAt']) {
      const direction = 'asc';
      expect(await list({ equals: revoked, sort: { field: sort, direction } })).toEqual(['Orchard']);
      const equals = { ...revoked, authenticationType: 'OAUTH2' };
      expect(await list({ equals, sort: { field: sort, direction } })).toEqual([]);
    }
  });

  it.each([
    ['of another sort', { sort: { field: 'createdAt', direction: 'desc' } as const }],
    ['of another table', { equals: { workspaceId: WORKSPACE, status: 'REVOKED' } }],
    ['of another workspace', { equals: { workspaceId: 'other', status: 'ACTIVE' } }],
    ['of another search', { contains: { field: 'subscriptionIds', value: 'weather' } }],
  ])('refuse a cursor %s', async (_, other: Partial<ListQuery>) => {
    for (let n = 0; n < 4; n++) await stage.create(n);
    await serve();
    const readModel = await queries.at(clients);
    const { nextCursor = '' } = await readModel.page(active());
    await expect(readModel.page(active({ ...other, cursor: nextCursor }))).rejects.toThrow(InvalidCursor);
  });

  it.each(['1e999', '"\\ud800"'])('refuse a cursor at the value %s, which no field has', async (value) => {
    for (let n = 0; n < 4; n++) await stage.create(n);
    await serve();
    const readModel = await queries.at(clients);
    const { nextCursor = '' } = await readModel.page(active());
    const [list, , id] = JSON.parse(Buffer.from(nextCursor, 'base64url').toString()) as string[];
    const cursor = Buffer.from(`["${list}",${value},"${id}"]`).toString('base64url');
    await expect(readModel.page(active({ cursor }))).rejects.toThrow(InvalidCursor);
  });

  it.each(['', 'x', '!!!', 'bnVsbA', Buffer.from('[1,2]').toString('base64url'), '\u0000', 'ё'])(
    'refuse a text that is no cursor: %j',
    async (cursor) => {
      await serve();
      await expect((await queries.at(clients)).page(active({ cursor }))).rejects.toThrow(InvalidCursor);
    },
  );
});
