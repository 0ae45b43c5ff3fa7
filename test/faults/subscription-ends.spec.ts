import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import type { SubscriptionState } from '#domain';
import { type BookOfRecord, openBookOfRecord, sqliteTrouble } from '#event-log';
import type { RecordedEvent } from '#events';
import { type Answer, eventually } from '../support/api/http.js';
import { oauthErrorOf, oauthLogin } from '../support/api/login.js';
import { type NewClient, Portal } from '../support/api/portal.js';
import {
  assignmentsToEnded,
  eventsIn,
  expectReadModelsToBeTheFold,
  expectSoundLog,
  withEventLog,
} from '../support/events/audit.js';
import { Standalone } from '../support/processes/standalone.js';

const CLIENTS = 300;
/** Number of clients that are assigned at the same moment at which the subscription ends. */
const LATECOMERS = 20;
/** The process is killed each time the number of unassigned clients reaches one of these numbers. */
const KILLED_AT = [40, 90, 150, 210];
const SUBSCRIPTION = 'sub-weather';
const ENDPOINT = 'weather';

const dataDir = mkdtempSync(join(tmpdir(), 'subscription-ends-'));
let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  rmSync(dataDir, { recursive: true });
});

/** Returns the clients' events that concern the subscription. */
const ofSubscription = (events: readonly RecordedEvent[]) =>
  events.filter(({ stream, data }) => stream.startsWith('consumerClient-') && data.subscriptionId === SUBSCRIPTION);

const unassignments = (events: readonly RecordedEvent[]) =>
  ofSubscription(events).filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');

const neverWoken = new Int32Array(new SharedArrayBuffer(4));

/**
 * Sends `kill -9` when `count` clients are unassigned. Looks while it holds the lock for writing, so that the process
 * writes nothing between the look and its end, however busy the machine is. Resolves to the number of clients that were
 * unassigned when the process was gone.
 */
async function killAt(running: Standalone, count: number): Promise<number> {
  const lock = new Database(join(dataDir, 'event-log.db'));
  const unassigned = lock.prepare(
    "SELECT count(*) FROM events WHERE type = 'ConsumerClientUnassignedFromSubscription'",
  );
  const isLocked = () => {
    try {
      lock.exec('BEGIN IMMEDIATE');
      return true;
    } catch (error) {
      if (sqliteTrouble(error)?.includes('SQLITE_BUSY')) return false;
      throw error;
    }
  };
  const isReached = () => {
    // SQLite's own pauses are so long that the process would go on for many transactions.
    while (!isLocked()) Atomics.wait(neverWoken, 0, 0, 1);
    const [[found] = [0]] = unassigned.raw().all([]) as [number][];
    if (found < count) lock.exec('ROLLBACK');
    return Promise.resolve(found >= count);
  };
  try {
    await eventually(isReached, (reached) => reached);
    await running.kill();
    lock.exec('ROLLBACK');
  } finally {
    lock.close();
  }
  return unassignments(await eventsIn(dataDir)).length;
}

/** Assigns the client. Acts like another node that still has the older state `seen` of the subscription. */
const assignAsSeen = (seen: SubscriptionState, { clientId }: NewClient): Promise<unknown> =>
  onTheLog(({ clients }) => {
    const commandId = randomUUID();
    const at = new Date().toISOString();
    const command = { type: 'AssignToSubscription', workspaceId: 'acme', subscription: seen, at } as const;
    const context = {
      ...{ commandId, commandHash: '', correlationId: commandId, causationId: commandId },
      ...{ workspaceId: 'acme', actor: { subject: 'another-node', roles: [], via: 'http' } },
    };
    return clients.execute(clientId, command, { context });
  });

const onTheLog = <T>(use: (book: BookOfRecord) => Promise<T>): Promise<T> =>
  withEventLog(dataDir, async (log) => use(await openBookOfRecord(log, () => new Date())));

/** Logs in at the subscription's endpoint until the process is gone. Resolves to all answers. */
async function loginsUntilGone(url: string, clients: readonly NewClient[]): Promise<Answer<unknown>[]> {
  const answers: Answer<unknown>[] = [];
  for (;;) {
    for (const client of clients) {
      const answer = await oauthLogin(url, client, ENDPOINT).catch(() => undefined);
      if (!answer) return answers;
      answers.push(answer);
    }
  }
}

/** Waits until the read model has seen the whole log, and expects that no client is assigned to the subscription. */
async function expectNoneAssigned(portal: Portal): Promise<void> {
  const now = await portal.readNow();
  await eventually(
    () => portal.clientsOf(SUBSCRIPTION, { limit: 1 }, now),
    ({ status, text }) => status === 200 && text === '{"items":[]}',
  );
}

const expectRefused = (logins: readonly Answer<unknown>[]): void => {
  for (const login of logins) expect(oauthErrorOf(login)).toMatchObject({ status: 400, error: 'unauthorized_client' });
};

it(`when a subscription of ${CLIENTS} clients ends, each is unassigned once, however often the process is killed`, async () => {
  let running = (standalone = await Standalone.startReady({ dataDir }));
  let portal = Portal.of(running);
  await portal.register(SUBSCRIPTION, { endpointUri: ENDPOINT });
  const clients: NewClient[] = [];
  while (clients.length < CLIENTS + LATECOMERS + 2) {
    clients.push(...(await Promise.all(Array.from({ length: 14 }, () => portal.newClient()))));
  }
  const assigned = clients.slice(0, CLIENTS);
  const latecomers = clients.slice(CLIENTS, CLIENTS + LATECOMERS);
  const [elsewhere, last] = clients.slice(-2) as [NewClient, NewClient];
  await Promise.all(assigned.map(({ clientId }) => portal.assign(clientId, SUBSCRIPTION)));
  // The process manager unassigns clients in the order of their ids, so the clients with the last ids stay assigned
  // longest.
  const some = assigned.toSorted((a, b) => (a.clientId < b.clientId ? 1 : -1)).slice(0, 3);
  for (const client of some) expect((await oauthLogin(running.url, client, ENDPOINT)).status).toBe(200);
  const { state: live } = await onTheLog(({ subscriptions }) => subscriptions.read(SUBSCRIPTION));

  const ended = portal.end(SUBSCRIPTION, 'The contract is over');
  const races = Promise.allSettled(latecomers.map(({ clientId }) => portal.assign(clientId, SUBSCRIPTION)));
  expect((await ended).status).toBe(200);
  const logins: Answer<unknown>[] = [];
  for (const [round, count] of KILLED_AT.entries()) {
    const [unassigned, answers] = await Promise.all([killAt(running, count), loginsUntilGone(running.url, some)]);
    expect(unassigned).toBeGreaterThanOrEqual(count);
    expect(unassigned).toBeLessThan(CLIENTS);
    logins.push(...answers);
    // This assignment was decided before the end of the subscription, but is written after the end, while no process
    // manager runs.
    if (round === 1) await assignAsSeen(live, elsewhere);
    running = standalone = await Standalone.start({ dataDir });
    portal = new Portal(running.url, portal.token);
  }
  await races;
  expect(logins).not.toEqual([]);
  await expectNoneAssigned(portal);
  await assignAsSeen(live, last);
  logins.push(await oauthLogin(running.url, last, ENDPOINT), await oauthLogin(running.url, elsewhere, ENDPOINT));
  await expectNoneAssigned(portal);
  expectRefused(logins);
  expect(await running.stop()).toBe(0);

  const events = await eventsIn(dataDir);
  const stories = new Map<string, unknown[]>();
  for (const { stream, type, data } of ofSubscription(events)) {
    stories.set(stream, [...(stories.get(stream) ?? []), [type, data.reason]]);
  }
  const streams = [...assigned, elsewhere, last].map(({ clientId }) => `consumerClient-${clientId}`);
  expect([...stories.keys()]).toEqual(expect.arrayContaining(streams));
  for (const story of stories.values()) {
    expect(story).toEqual([
      ['ConsumerClientAssignedToSubscription', undefined],
      ['ConsumerClientUnassignedFromSubscription', 'SUBSCRIPTION_ENDED'],
    ]);
  }
  expect(assignmentsToEnded(events)).toEqual([]);
  await expectSoundLog(events);
  await expectReadModelsToBeTheFold(dataDir, events);
});
