import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { assignmentsToEnded, eventsIn, expectReadModelsToBeTheFold, expectSoundLog } from '../support/audit.js';
import { type Answer, eventually } from '../support/http.js';
import {
  type ClientAnswer,
  type Headers,
  type HistoryEntry,
  Portal,
  type Subscription,
  readAfter,
} from '../support/portal.js';
import { Random } from '../support/random.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(180_000);

const ROUNDS = 20;
const CALLERS = 16;
const CLIENTS = 24;
const LIVE_SUBSCRIPTIONS = 4;

/** `CRASH_SEED` repeats the commands of a run that failed. */
const seed = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 32));
const random = new Random(seed);

/** The book as the API shows it. */
interface Book {
  readonly histories: ReadonlyMap<string, readonly HistoryEntry[]>;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
}

/** A command with its Idempotency-Key, so that it may be sent again. */
interface Wish {
  readonly what: string;
  send(portal: Portal): Promise<Answer<ClientAnswer | Subscription>>;
  /** What the portal believes from now on. */
  acknowledged?(clientId: string): unknown;
  /** Whether the book holds it; `revision` is what the acknowledgement said. */
  isIn(book: Book, clientId: string, revision: number): boolean;
}

interface Acknowledged {
  readonly wish: Wish;
  readonly clientId: string;
  readonly revision: number;
  /** Of its consistency token. */
  readonly position: string;
  readonly answer: Answer<unknown>;
}

const dataDir = mkdtempSync(join(tmpdir(), 'crash-'));
let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  rmSync(dataDir, { recursive: true });
});

let clients: string[] = [];
let live: string[] = [];
let wishes = 0;

const keyed = (key: string): Headers => ({ 'idempotency-key': key });

const entryAt = (book: Book, clientId: string, revision: number): HistoryEntry | undefined =>
  book.histories.get(clientId)?.[revision];

/** Whether the client was assigned when it was at the revision. */
const wasAssigned = (book: Book, clientId: string, revision: number, subscriptionId: string): boolean =>
  book.histories
    .get(clientId)
    ?.slice(0, revision + 1)
    .findLast(({ type, data }) => type === 'ConsumerClientRevoked' || data.subscriptionId === subscriptionId)?.type ===
  'ConsumerClientAssignedToSubscription';

const create = (key: string): Wish => ({
  what: `create ${key}`,
  send: (portal) => portal.create({ name: key }, keyed(key)),
  acknowledged: (clientId) => clients.push(clientId),
  isIn: (book, clientId) => entryAt(book, clientId, 0)?.data.name === key,
});

const rename = (key: string, clientId: string): Wish => ({
  what: `rename ${clientId} to ${key}`,
  send: (portal) => portal.rename(clientId, key, keyed(key)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.data.name === key,
});

const rotate = (key: string, clientId: string): Wish => ({
  what: `rotate ${clientId}`,
  send: (portal) => portal.rotate(clientId, {}, keyed(key)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.type === 'ConsumerClientSecretRotated',
});

const assign = (key: string, clientId: string, subscriptionId: string): Wish => ({
  what: `assign ${clientId} to ${subscriptionId}`,
  send: (portal) => portal.assign(clientId, subscriptionId, keyed(key)),
  isIn: (book, _, revision) => wasAssigned(book, clientId, revision, subscriptionId),
});

const unassign = (key: string, clientId: string, subscriptionId: string): Wish => ({
  what: `unassign ${clientId} from ${subscriptionId}`,
  send: (portal) => portal.unassign(clientId, subscriptionId, keyed(key)),
  isIn: (book, _, revision) => !wasAssigned(book, clientId, revision, subscriptionId),
});

const revoke = (key: string, clientId: string): Wish => ({
  what: `revoke ${clientId}`,
  send: (portal) => portal.revoke(clientId, key, keyed(key)),
  acknowledged: () => (clients = clients.filter((id) => id !== clientId)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.type === 'ConsumerClientRevoked',
});

const register = (key: string): Wish => ({
  what: `register ${key}`,
  send: (portal) => portal.register(key, {}, keyed(key)),
  acknowledged: () => live.push(key),
  isIn: (book) => book.subscriptions.has(key),
});

const end = (key: string, subscriptionId: string): Wish => ({
  what: `end ${subscriptionId}`,
  send: (portal) => portal.end(subscriptionId, key, keyed(key)),
  acknowledged: () => (live = live.filter((id) => id !== subscriptionId)),
  isIn: (book) => book.subscriptions.get(subscriptionId)?.status === 'ENDED',
});

function nextWish(): Wish {
  const key = `wish-${++wishes}`;
  const dice = random.next();
  if (live.length === 0 || dice < 0.03) return register(key);
  if (dice < 0.06) return end(key, random.pick(live));
  if (dice < 0.1) return create(key);
  const clientId = random.pick(clients);
  if (dice < 0.12 && clients.length > CLIENTS / 2) return revoke(key, clientId);
  if (dice < 0.16) return rotate(key, clientId);
  if (dice < 0.5) return assign(key, clientId, random.pick(live));
  if (dice < 0.6) return unassign(key, clientId, random.pick(live));
  return rename(key, clientId);
}

/** What came of the wishes of one life of the process. */
class Outcome {
  readonly acknowledged: Acknowledged[] = [];
  /** Carried out or not: nobody knows. */
  readonly open: Wish[] = [];
  readonly strange: string[] = [];

  async send(portal: Portal, wish: Wish): Promise<Answer<unknown> | undefined> {
    const answer = await wish.send(portal).catch(() => undefined);
    if (!answer || answer.status === 503) this.open.push(wish);
    else if (answer.status < 300) this.acknowledge(wish, answer);
    // The client was revoked or the subscription ended before: decided, and nothing written.
    else if (answer.status !== 409) this.strange.push(`${wish.what}: ${answer.status} ${answer.text}`);
    return answer;
  }

  private acknowledge(wish: Wish, answer: Answer<ClientAnswer | Subscription>): void {
    const clientId = 'client' in answer.body ? answer.body.client.clientId : '';
    const revision = Number(answer.header('etag').slice(1, -1));
    const [, position = ''] = answer.header('x-consistency-token').split('@');
    this.acknowledged.push({ wish, clientId, revision, position, answer });
    wish.acknowledged?.(clientId);
  }
}

/** All callers at work until the process is gone, which is at a random moment. */
async function killUnderLoad(running: Standalone, portal: Portal): Promise<Outcome> {
  const outcome = new Outcome();
  const caller = async () => {
    while (await outcome.send(portal, nextWish()));
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, caller));
  const enough = random.between(20, 120);
  await eventually(
    () => Promise.resolve(outcome.acknowledged.length),
    (count) => count >= enough,
  );
  await delay(random.next() * 25);
  await running.kill();
  await callers;
  return outcome;
}

/** As the API shows it, with everything in it that was acknowledged. */
async function readBook(portal: Portal, acknowledged: readonly Acknowledged[]): Promise<Book> {
  const newest = acknowledged.reduce((a, b) => (a.position > b.position ? a : b)).answer;
  const ids = [...new Set(acknowledged.map(({ clientId }) => clientId))].filter((id) => id !== '');
  const histories = new Map<string, readonly HistoryEntry[]>();
  for (const id of ids) histories.set(id, await portal.wholeHistory(id, readAfter(newest)));
  const listed = await portal.walk((cursor) => portal.subscriptions({ limit: 200, ...cursor }, readAfter(newest)));
  return { histories, subscriptions: new Map(listed.map((item) => [item.subscriptionId, item])) };
}

async function expectHeld(portal: Portal, acknowledged: readonly Acknowledged[]): Promise<void> {
  if (acknowledged.length === 0) return;
  const book = await readBook(portal, acknowledged);
  const lost = acknowledged.filter(({ wish, clientId, revision }) => !wish.isIn(book, clientId, revision));
  expect(lost.map(({ wish }) => wish.what)).toEqual([]);
}

/** Twice, to see that both are answered with the same. */
async function retry(portal: Portal, open: readonly Wish[]): Promise<Outcome> {
  const outcome = new Outcome();
  for (const wish of open) {
    const first = await outcome.send(portal, wish);
    const second = await outcome.send(portal, wish);
    expect([second?.status, second?.headers.etag]).toEqual([first?.status, first?.headers.etag]);
  }
  return outcome;
}

it(`${ROUNDS} times killed under load, it keeps what it acknowledged, and nothing twice [CRASH_SEED=${seed}]`, async () => {
  standalone = await Standalone.start({ dataDir });
  let portal = Portal.of(standalone);
  await eventually(
    () => portal.send('GET', '/health/ready'),
    ({ status }) => status === 200,
  );
  const all: Acknowledged[] = [];
  const setUp = new Outcome();
  const first = [
    ...Array.from({ length: LIVE_SUBSCRIPTIONS }, () => register),
    ...Array.from({ length: CLIENTS }, () => create),
  ];
  for (const wish of first) await setUp.send(portal, wish(`wish-${++wishes}`));
  all.push(...setUp.acknowledged);
  expect(all).toHaveLength(first.length);

  for (let round = 1; round <= ROUNDS; round++) {
    const before = await killUnderLoad(standalone, portal);
    standalone = await Standalone.start({ dataDir });
    portal = new Portal(standalone.url, portal.token);
    await expectHeld(portal, before.acknowledged);
    const retried = await retry(portal, before.open);
    await expectHeld(portal, retried.acknowledged);
    expect([...before.strange, ...retried.strange, ...retried.open.map(({ what }) => what)]).toEqual([]);
    expect(before.open.length).toBeGreaterThanOrEqual(CALLERS);
    all.push(...before.acknowledged, ...retried.acknowledged);
  }

  await setUp.send(portal, create('the last one'));
  const book = await readBook(portal, [...all, ...setUp.acknowledged]);
  await expectHeld(portal, all);
  for (const { subscriptionId, status } of book.subscriptions.values()) {
    if (status === 'LIVE') continue;
    await eventually(
      () => portal.clientsOf(subscriptionId, { limit: 1 }),
      ({ body }) => body.items.length === 0,
    );
  }
  expect(await standalone.stop()).toBe(0);

  const events = await eventsIn(dataDir);
  await expectSoundLog(events);
  await expectReadModelsToBeTheFold(dataDir, events);
  expect(assignmentsToEnded(events)).toEqual([]);
});
