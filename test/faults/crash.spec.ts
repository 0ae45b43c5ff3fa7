import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, eventually } from '../support/api/http.js';
import {
  type ClientAnswer,
  type Headers,
  type HistoryEntry,
  Portal,
  readAfter,
  type Subscription,
} from '../support/api/portal.js';
import { assignmentsToEnded, eventsIn, expectReadModelsToBeTheFold, expectSoundLog } from '../support/events/audit.js';
import { Random } from '../support/load/random.js';
import { Standalone } from '../support/processes/standalone.js';

const ROUNDS = 20;
const CALLERS = 16;
const CLIENTS = 24;
const LIVE_SUBSCRIPTIONS = 4;

/** To repeat the commands of a failed run, set `CRASH_SEED` to the seed in the name of the failed test. */
const seed = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 32));
const random = new Random(seed);

/** The clients' histories and the subscriptions, as the API returns them. */
interface Book {
  readonly histories: ReadonlyMap<string, readonly HistoryEntry[]>;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
}

/** A command with an Idempotency-Key. The key makes it safe to send the command again. */
interface Command {
  readonly what: string;
  send(portal: Portal): Promise<Answer<ClientAnswer | Subscription>>;
  /** Called after the acknowledgement: updates the test's lists of clients and subscriptions. */
  acknowledged?(clientId: string): unknown;
  /** Whether the book shows the command's effect. `revision`: the client's revision in the acknowledgement. */
  isIn(book: Book, clientId: string, revision: number): boolean;
}

interface Acknowledged {
  readonly command: Command;
  readonly clientId: string;
  readonly revision: number;
  /** The log position in the consistency token of the acknowledgement. */
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
let commandCount = 0;

const keyed = (key: string): Headers => ({ 'idempotency-key': key });

const entryAt = (book: Book, clientId: string, revision: number): HistoryEntry | undefined =>
  book.histories.get(clientId)?.[revision];

/** Whether the client was assigned to the subscription at this revision. */
const wasAssigned = (book: Book, clientId: string, revision: number, subscriptionId: string): boolean =>
  book.histories
    .get(clientId)
    ?.slice(0, revision + 1)
    .findLast(({ type, data }) => type === 'ConsumerClientRevoked' || data.subscriptionId === subscriptionId)?.type ===
  'ConsumerClientAssignedToSubscription';

const create = (key: string): Command => ({
  what: `create ${key}`,
  send: (portal) => portal.create({ name: key }, keyed(key)),
  acknowledged: (clientId) => clients.push(clientId),
  isIn: (book, clientId) => entryAt(book, clientId, 0)?.data.name === key,
});

const rename = (key: string, clientId: string): Command => ({
  what: `rename ${clientId} to ${key}`,
  send: (portal) => portal.rename(clientId, key, keyed(key)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.data.name === key,
});

const rotate = (key: string, clientId: string): Command => ({
  what: `rotate ${clientId}`,
  send: (portal) => portal.rotate(clientId, {}, keyed(key)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.type === 'ConsumerClientSecretRotated',
});

const assign = (key: string, clientId: string, subscriptionId: string): Command => ({
  what: `assign ${clientId} to ${subscriptionId}`,
  send: (portal) => portal.assign(clientId, subscriptionId, keyed(key)),
  isIn: (book, _, revision) => wasAssigned(book, clientId, revision, subscriptionId),
});

const unassign = (key: string, clientId: string, subscriptionId: string): Command => ({
  what: `unassign ${clientId} from ${subscriptionId}`,
  send: (portal) => portal.unassign(clientId, subscriptionId, keyed(key)),
  isIn: (book, _, revision) => !wasAssigned(book, clientId, revision, subscriptionId),
});

const revoke = (key: string, clientId: string): Command => ({
  what: `revoke ${clientId}`,
  send: (portal) => portal.revoke(clientId, key, keyed(key)),
  acknowledged: () => (clients = clients.filter((id) => id !== clientId)),
  isIn: (book, _, revision) => entryAt(book, clientId, revision)?.type === 'ConsumerClientRevoked',
});

const register = (key: string): Command => ({
  what: `register ${key}`,
  send: (portal) => portal.register(key, {}, keyed(key)),
  acknowledged: () => live.push(key),
  isIn: (book) => book.subscriptions.has(key),
});

const end = (key: string, subscriptionId: string): Command => ({
  what: `end ${subscriptionId}`,
  send: (portal) => portal.end(subscriptionId, key, keyed(key)),
  acknowledged: () => (live = live.filter((id) => id !== subscriptionId)),
  isIn: (book) => book.subscriptions.get(subscriptionId)?.status === 'ENDED',
});

function nextCommand(): Command {
  const key = `command-${++commandCount}`;
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

/** Collects the outcomes of the commands that were sent between two kills. */
class Outcome {
  readonly acknowledged: Acknowledged[] = [];
  /** Commands that got no answer, or the answer 503. The service may have carried out such a command or not. */
  readonly open: Command[] = [];
  readonly unexpected: string[] = [];

  async send(portal: Portal, command: Command): Promise<Answer<unknown> | undefined> {
    const answer = await command.send(portal).catch(() => undefined);
    if (!answer || answer.status === 503) this.open.push(command);
    else if (answer.status < 300) this.acknowledge(command, answer);
    // 409 means that the client was revoked or the subscription had ended. The command was refused, and wrote nothing.
    else if (answer.status !== 409) this.unexpected.push(`${command.what}: ${answer.status} ${answer.text}`);
    return answer;
  }

  private acknowledge(command: Command, answer: Answer<ClientAnswer | Subscription>): void {
    const clientId = 'client' in answer.body ? answer.body.client.clientId : '';
    const revision = Number(answer.header('etag').slice(1, -1));
    const [, position = ''] = answer.header('x-consistency-token').split('@');
    this.acknowledged.push({ command, clientId, revision, position, answer });
    command.acknowledged?.(clientId);
  }
}

/** Lets all callers send commands, and kills the process at a random moment. */
async function killUnderLoad(running: Standalone, portal: Portal): Promise<Outcome> {
  const outcome = new Outcome();
  const caller = async () => {
    while (await outcome.send(portal, nextCommand()));
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

/**
 * Reads the book from the API, with the consistency token of the newest acknowledgement. The result thus contains every
 * acknowledged command.
 */
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
  const lost = acknowledged.filter(({ command, clientId, revision }) => !command.isIn(book, clientId, revision));
  expect(lost.map(({ command }) => command.what)).toEqual([]);
}

/** Sends each open command (a command whose outcome is unknown) twice, and expects the same answer both times. */
async function retry(portal: Portal, open: readonly Command[]): Promise<Outcome> {
  const outcome = new Outcome();
  for (const command of open) {
    const first = await outcome.send(portal, command);
    const second = await outcome.send(portal, command);
    expect([second?.status, second?.headers.etag]).toEqual([first?.status, first?.headers.etag]);
  }
  return outcome;
}

it(`${ROUNDS} times killed under load, it keeps every acknowledged command exactly once [CRASH_SEED=${seed}]`, async () => {
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
  for (const make of first) await setUp.send(portal, make(`command-${++commandCount}`));
  all.push(...setUp.acknowledged);
  expect(all).toHaveLength(first.length);

  for (let round = 1; round <= ROUNDS; round++) {
    const before = await killUnderLoad(standalone, portal);
    standalone = await Standalone.start({ dataDir });
    portal = new Portal(standalone.url, portal.token);
    await expectHeld(portal, before.acknowledged);
    const retried = await retry(portal, before.open);
    await expectHeld(portal, retried.acknowledged);
    expect([...before.unexpected, ...retried.unexpected, ...retried.open.map(({ what }) => what)]).toEqual([]);
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
