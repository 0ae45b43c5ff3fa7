import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SubscriptionState } from '#domain';
import { type BookOfRecord, openBookOfRecord } from '#event-log';
import type { RecordedEvent } from '#events';
import {
  assignmentsToEnded,
  eventsIn,
  expectReadModelsToBeTheFold,
  expectSoundLog,
  withEventLog,
} from '../support/audit.js';
import { type Answer, eventually } from '../support/http.js';
import { oauthErrorOf, oauthLogin } from '../support/login.js';
import { type NewClient, Portal } from '../support/portal.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(90_000);

const CLIENTS = 300;
/** Send their assignment in the same breath as the portal ends the subscription. */
const LATECOMERS = 20;
/** So many clients have been unassigned when the process is killed. */
const KILLED_AT = [40, 90, 150, 210];
const SUBSCRIPTION = 'sub-weather';
const ENDPOINT = 'weather';

const dataDir = mkdtempSync(join(tmpdir(), 'subscription-ends-'));
let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  rmSync(dataDir, { recursive: true });
});

/** What happened between the clients and the subscription. */
const ofSubscription = (events: readonly RecordedEvent[]) =>
  events.filter(({ stream, data }) => stream.startsWith('consumerClient-') && data.subscriptionId === SUBSCRIPTION);

const unassignments = (events: readonly RecordedEvent[]) =>
  ofSubscription(events).filter(({ type }) => type === 'ConsumerClientUnassignedFromSubscription');

/** `kill -9` as soon as so many clients have been unassigned; answers how many had been when the process was gone. */
async function killAt(running: Standalone, count: number): Promise<number> {
  await withEventLog(dataDir, async (log) => {
    let seen = 0;
    for await (const { events } of log.subscribe({ signal: AbortSignal.timeout(20_000) })) {
      seen += unassignments(events).length;
      if (seen >= count) break;
    }
    await running.kill();
  });
  return unassignments(await eventsIn(dataDir)).length;
}

/** Another node, whose look at the subscription is as old as `seen`. */
const assignAsSeen = (seen: SubscriptionState, { clientId }: NewClient): Promise<unknown> =>
  onTheLog(({ clients }) => {
    const commandId = randomUUID();
    const at = new Date().toISOString();
    const command = { type: 'AssignToSubscription', workspaceId: 'acme', subscription: seen, at } as const;
    return clients.execute(clientId, command, {
      ...{ commandId, commandHash: '', correlationId: commandId, causationId: commandId },
      ...{ workspaceId: 'acme', actor: { subject: 'another-node', roles: [], via: 'http' } },
    });
  });

const onTheLog = <T>(use: (book: BookOfRecord) => Promise<T>): Promise<T> =>
  withEventLog(dataDir, async (log) => use(await openBookOfRecord(log, () => new Date())));

/** What logins at the subscription's endpoint are answered until the process is gone. */
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

/** Nobody, once everything that is in the log now has been seen. */
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
  // The process manager goes through them by id, so that these stay assigned for long.
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
    // Decided before the end, written after it, and when nobody is there to see it.
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
