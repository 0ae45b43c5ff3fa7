import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { type Cluster, type ClusterOptions, startCluster } from './cluster.js';
import { describeOnStandIn, type EventStoreNode, installedProgram } from './event-store.js';

// These tests show that three nodes of our stand-in behave as EventStoreDB 23.10.8 does while the leader changes. We
// observed that behaviour on the real server. If EVENTSTOREDB_PROGRAM names an installed server, the tests start three
// nodes of that server instead. How long such a server needs, and how long its replaced leader stays stale, varies.

const isStandIn = installedProgram() === undefined;

const unary = { credentials: { username: 'admin', password: 'changeit' } };
const strict = { ...unary, requiresLeader: true };

const event = (id: string = randomUUID()) => jsonEvent({ id, type: 'Opened', data: { text: 'x' } });
const failure = (type: string, code?: number) => expect.objectContaining({ type, code }) as Error;

let cluster: Cluster;
let clients: EventStoreDBClient[];

const start = async (options?: ClusterOptions) => {
  clients = [];
  cluster = await startCluster(options);
};

afterEach(async () => {
  await Promise.all(clients.map((client) => client.dispose()));
  await cluster.stop();
});

/** Makes a client that has its own connection. */
const connect = (to: { readonly url: string }) => {
  const client = EventStoreDBClient.connectionString(`${to.url}&keepAliveInterval=${10_000 + clients.length}`);
  clients.push(client);
  return client;
};

const followers = async (leader?: EventStoreNode): Promise<readonly [EventStoreNode, EventStoreNode]> => {
  const leading = leader ?? (await cluster.leader());
  const [first, second] = cluster.nodes.filter((node) => node !== leading);
  if (!first || !second) throw new Error('A cluster has three nodes');
  return [first, second];
};

const ids = async (client: EventStoreDBClient, stream: string, options = {}) => {
  const found: (string | undefined)[] = [];
  for await (const { event } of client.readStream(stream, options)) found.push(event?.id);
  return found;
};

const isTemporary = (error: unknown): boolean => {
  const { type, message } = error as { type?: string; message: string };
  // While a leader is lost, an installed server also answers "Exception was thrown by handler", of type unknown.
  const types = [
    'unavailable',
    'deadline-exceeded',
    'not-leader',
    'stream-not-found',
    ...(isStandIn ? [] : ['unknown']),
  ];
  return type === undefined ? message.startsWith('Failed to discover') : types.includes(type);
};

/** Repeats `attempt` until the attempt succeeds, or fails with an error that is not temporary. */
const untilDone = async <Result>(attempt: () => Promise<Result>): Promise<Result> => {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isTemporary(error)) throw error;
      await delay(10);
    }
  }
};

describe('with a leader', () => {
  test('clients find it, and a follower names it to those who ask for it', async () => {
    await start();
    await connect(cluster).appendToStream('account', event(), strict);
    const leader = await cluster.leader();
    const [follower] = await followers();
    const client = connect(follower);
    await expect(client.appendToStream('account', event(), strict)).rejects.toEqual(
      expect.objectContaining({ type: 'not-leader', code: 5, leader: { address: '127.0.0.1', port: leader.port } }),
    );
    await client.appendToStream('account', event(), strict);
    expect(await ids(client, 'account', { requiresLeader: true })).toHaveLength(2);
  });

  test('a follower hands appends on to it', async () => {
    await start();
    const [follower] = await followers();
    const client = connect(follower);
    expect(await client.appendToStream('account', event(), unary)).toMatchObject({ nextExpectedRevision: 0n });
    expect(await client.appendToStream('account', event())).toMatchObject({ nextExpectedRevision: 1n });
    await expect(
      client.appendToStream('account', event(), { ...unary, expectedRevision: 'no_stream' }),
    ).rejects.toEqual(expect.objectContaining({ type: 'wrong-expected-version', actualVersion: 1n }));
  });
});

describeOnStandIn('with followers that lag', () => {
  test('they show acknowledged events to their readers a little later', async () => {
    await start({ lagMs: 55 });
    const [follower] = await followers();
    const [leading, following] = [connect(await cluster.leader()), connect(follower)];
    await following.appendToStream('warm', event(), unary);
    await leading.appendToStream('account', event(), unary);
    await expect(ids(following, 'account')).rejects.toEqual(failure('stream-not-found'));
    expect(await untilDone(() => ids(following, 'account'))).toHaveLength(1);
  });
});

test('without a majority nothing is acknowledged, and the leader stops serving until it has one', async () => {
  await start();
  const leader = await cluster.leader();
  const client = connect(leader);
  const others = await followers();
  await Promise.all(others.map((node) => node.kill()));
  await expect(client.appendToStream('account', event(), { ...strict, deadline: 200 })).rejects.toEqual(
    failure('deadline-exceeded', 4),
  );
  await cluster.until(() => leader.state?.isReady === false);
  await expect(client.appendToStream('account', event(), unary)).rejects.toEqual(failure('unavailable', 14));
  await expect(client.appendToStream('account', event())).rejects.toMatchObject({
    type: 'unknown',
    message: 'Could not recognize Server Is Not Ready',
  });
  await Promise.all(others.map((node) => node.restart()));
  await untilDone(() => connect(cluster).appendToStream('other', event(), { ...strict, deadline: 1_000 }));
});

test('a leader that is killed is replaced: nothing acknowledged is lost, nothing is written twice', async () => {
  await start();
  const client = connect(cluster);
  const acknowledged = new Map<string, string>();
  let isOver = false;
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let count = 0; !isOver; count++) {
      const [stream, one] = [`account-${writer}-${count}`, event()];
      const options = { ...strict, expectedRevision: 'no_stream', deadline: 1_000 } as const;
      await untilDone(() => client.appendToStream(stream, one, options));
      acknowledged.set(stream, one.id);
    }
  });
  const former = await cluster.leader();
  while (acknowledged.size < 50) await delay(10);
  await former.kill();
  const leader = await cluster.leader(former);
  const before = acknowledged.size;
  await former.restart();
  await cluster.until(() => former.state?.isReady);
  while (acknowledged.size < before + 50) await delay(10);
  isOver = true;
  await Promise.all(writers);
  const found = new Map<string, string[]>();
  for await (const { event } of connect(leader).readAll()) {
    if (event?.streamId.startsWith('account-'))
      found.set(event.streamId, [...(found.get(event.streamId) ?? []), event.id]);
  }
  expect(former.state?.role).toBe('follower');
  for (const [stream, id] of acknowledged) expect([stream, found.get(stream)]).toEqual([stream, [id]]);
});

test('a paused leader that was replaced answers from its old state for a while, acknowledges nothing, and steps down', async () => {
  await start({ staleMs: 800 });
  const former = await cluster.leader();
  const old = connect(former);
  const first = event();
  await old.appendToStream('account', first, strict);
  former.freeze();
  const next = await cluster.leader(former);
  const second = event();
  await untilDone(() => connect(next).appendToStream('account', second, { ...strict, deadline: 1_000 }));
  former.thaw();
  const read = () => ids(old, 'account', { requiresLeader: true });
  const stale: unknown[] = [];
  const refusal = await (async () => {
    for (;;) stale.push(await read());
  })().catch((error: unknown) => error);
  expect(stale).toEqual(stale.map(() => [first.id]));
  if (isStandIn) {
    expect(stale.length).toBeGreaterThan(1);
    expect([failure('not-leader', 5), failure('unavailable', 14)]).toContainEqual(refusal);
  } else expect(isTemporary(refusal)).toBe(true);
  await cluster.until(() => former.state?.role === 'follower' && former.state.isReady);
  await expect(ids(connect(former), 'account', { requiresLeader: true })).rejects.toEqual(failure('not-leader', 5));
  expect(await untilDone(read)).toEqual([first.id, second.id]);
});

describeOnStandIn('with a node that can be cut off', () => {
  test('a leader cut off from the others stops serving before another is elected', async () => {
    await start();
    const former = await cluster.leader();
    const old = connect(former);
    const first = event();
    await old.appendToStream('account', first, strict);
    const states: string[] = [];
    for (const node of cluster.nodes) {
      node.events.on('state', () => states.push(`${node === former ? 'former' : 'other'} ${node.state?.role}`));
    }
    await former.isolate();
    const next = await cluster.leader(former);
    expect(states.indexOf('former candidate')).toBe(0);
    await expect(ids(old, 'account', { requiresLeader: true })).rejects.toEqual(failure('unavailable', 14));
    await connect(next).appendToStream('account', event(), strict);
    await former.reconnect();
    expect(await untilDone(() => ids(old, 'account', { requiresLeader: true }))).toHaveLength(2);
  });
});

test('a replaced leader that accepted an append ends with code 0, and no longer has it after a restart', async () => {
  await start({ staleMs: 800 });
  const former = await cluster.leader();
  const old = connect(former);
  await old.appendToStream('account', event(), strict);
  former.freeze();
  const next = await cluster.leader(former);
  await untilDone(() => connect(next).appendToStream('other', event(), { ...strict, deadline: 1_000 }));
  const ends: unknown[] = [];
  former.events.on('ended', (code) => ends.push(code));
  former.thaw();
  const refusal = await old
    .appendToStream('account', event(), { ...strict, deadline: 300 })
    .catch((error: unknown) => error);
  if (isStandIn) expect(refusal).toEqual(failure('deadline-exceeded', 4));
  else expect(isTemporary(refusal)).toBe(true);
  // An installed server ends only if it has to undo what it wrote.
  await cluster.until(
    () => former.state?.role === 'follower' && former.state.isReady && (!isStandIn || ends.length > 0),
  );
  expect(ends).toEqual(isStandIn ? [0] : ends.map(() => 0));
  expect(await untilDone(() => ids(connect(former), 'account'))).toHaveLength(1);
  expect(await untilDone(() => ids(connect(former), 'other'))).toHaveLength(1);
});

test('a cluster that is killed as a whole keeps everything that it acknowledged', async () => {
  await start();
  const client = connect(cluster);
  for (let count = 0; count < 20; count++) await client.appendToStream('account', event(), strict);
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  expect(await untilDone(() => ids(connect(cluster), 'account', { requiresLeader: true }))).toHaveLength(20);
});
