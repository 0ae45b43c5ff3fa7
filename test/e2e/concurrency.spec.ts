import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyChain } from '#events';
import type { Answer } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import { type ClientAnswer, type HistoryEntry, Portal, recordedEventOf, secretOf } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const CALLERS = 50;

let dataDir: string;
let one: Standalone;
let other: Standalone;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'consumer-clients-'));
  one = await Standalone.startReady({ dataDir });
  other = await Standalone.startReady({ dataDir });
});

afterAll(async () => {
  await Promise.all([one.stop(), other.stop()]);
  rmSync(dataDir, { recursive: true });
});

/**
 * Expects that every acknowledged command has exactly one event, that the revisions have no gap, and that no generation
 * of the client's secret appears twice.
 */
async function expectNothingLost(
  clientId: string,
  answers: readonly Answer<ClientAnswer>[],
  history: readonly HistoryEntry[],
) {
  const revisions = answers.map(({ body }) => body.client.revision).sort((a, b) => a - b);
  expect(revisions).toEqual(Array.from(answers, (_, at) => at + 1));
  expect(history.map(({ revision }) => revision)).toEqual([0, ...revisions]);
  const rotations = history.filter(({ type }) => type === 'ConsumerClientSecretRotated');
  expect(rotations.map(({ data }) => data.generation)).toEqual(rotations.map((_, at) => at + 2));
  const shown = answers.flatMap(({ body }) => body.credential ?? []);
  expect(shown.map(({ generation }) => generation).sort((a, b) => a - b)).toEqual(rotations.map((_, at) => at + 2));
  for (const { body, ...answer } of answers.map((each) => ({ status: each.status, body: each.body }))) {
    const event = history[body.client.revision];
    expect(answer.status).toBe(200);
    if (event?.type === 'ConsumerClientRenamed') expect(body.client.name).toBe(event.data.name);
  }
  const stream = `consumerClient-${clientId}`;
  const events = history.map((entry) => recordedEventOf(stream, entry));
  expect(await verifyChain(stream, events)).toMatchObject({ whole: true });
}

test('fifty callers on one client at once: no update is lost, no generation is handed out twice', async () => {
  const portal = Portal.of(one);
  const { clientId } = await portal.newClient('API_KEY');
  await Promise.all(Array.from({ length: 20 }, (_, at) => portal.register(`sub_crowd_${at}`)));
  const answers = await Promise.all(
    Array.from({ length: CALLERS }, (_, at) => {
      if (at % 5 < 2) return portal.rename(clientId, `Name ${at}`);
      if (at % 5 < 4) return portal.assign(clientId, `sub_crowd_${Math.floor(at / 5) * 2 + (at % 5) - 2}`);
      return portal.rotate(clientId, { overlapSeconds: 60 });
    }),
  );
  const history = await portal.wholeHistory(clientId, await portal.readNow());
  await expectNothingLost(clientId, answers, history);
  expect(history.filter(({ type }) => type === 'ConsumerClientRenamed')).toHaveLength(20);
  expect(history.filter(({ type }) => type === 'ConsumerClientAssignedToSubscription')).toHaveLength(20);
  expect(history.filter(({ type }) => type === 'ConsumerClientSecretRotated')).toHaveLength(10);
  const final = (await portal.get(clientId, await portal.readNow())).body;
  expect(final.subscriptions).toHaveLength(20);
  expect(final.credentials.map(({ generation }) => generation)).toEqual([10, 11]);
  const byGeneration = answers.flatMap(({ body }) => body.credential ?? []);
  for (const credential of byGeneration) {
    const { status } = await apiKeyLogin(one.url, secretOf(credential));
    expect({ generation: credential.generation, status }).toEqual({
      generation: credential.generation,
      status: credential.generation >= 10 ? 200 : 401,
    });
  }
});

test('two processes on one directory take commands for one client at once: each is carried out once', async () => {
  const portals = [Portal.of(one), Portal.of(other)] as const;
  const [portal] = portals;
  const { clientId } = await portal.newClient('API_KEY');
  const answers: Answer<ClientAnswer>[] = [];
  const caller = async (portal: Portal, name: string) => {
    for (let count = 0; count < 15;) {
      const sent = count % 5 === 4 ? portal.rotate(clientId) : portal.rename(clientId, `${name} ${count}`);
      const answer = await sent;
      if (answer.status === 503)
        // 503 means that the command wrote nothing, so we send the command again.
        expect(answer.refusal).toBe('503 CONTENTION');
      else {
        answers.push(answer);
        count += 1;
      }
    }
  };
  await Promise.all(portals.flatMap((each, at) => [caller(each, `a${at}`), caller(each, `b${at}`)]));
  expect(answers).toHaveLength(60);
  const histories = [];
  for (const each of portals) histories.push(await each.wholeHistory(clientId, await each.readNow()));
  expect(histories[0]).toEqual(histories[1]);
  await expectNothingLost(clientId, answers, histories[0] ?? []);
});

test('a process decides on the state that another process has acknowledged', async () => {
  const [here, there] = [Portal.of(one), Portal.of(other)];
  for (let round = 0; round < 10; round++) {
    const { clientId, secret } = await here.newClient('API_KEY');
    expect((await apiKeyLogin(other.url, secret)).status).toBe(200);
    const renamed = await there.rename(clientId, `Renamed there ${round}`);
    expect((await here.rename(clientId, `And here ${round}`)).body.client.revision).toBe(
      renamed.body.client.revision + 1,
    );
    await here.revoke(clientId);
    expect((await apiKeyLogin(other.url, secret)).status).toBe(401);
    expect((await there.rename(clientId, 'Too late')).refusal).toBe('409 CLIENT_REVOKED');
  }
});

test('one Idempotency-Key sent to both processes at once is one command', async () => {
  const portals = [Portal.of(one), Portal.of(other)];
  for (let round = 0; round < 10; round++) {
    const key = { 'idempotency-key': `both-${round}` };
    const answers = await Promise.all(portals.map((portal) => portal.create({ name: 'Twice' }, key)));
    const [first, second] = answers.map(({ body }) => body);
    expect(first?.client).toEqual(second?.client);
    expect(answers.filter(({ body }) => body.credential)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.credentialShown)).toHaveLength(1);
    const shown = answers.flatMap(({ body }) => body.credential ?? []).map(secretOf);
    const clientId = first?.client.clientId ?? '';
    const rotations = await Promise.all(
      portals.map((portal) => portal.rotate(clientId, {}, { 'idempotency-key': `rotate-${round}` })),
    );
    shown.push(...rotations.flatMap(({ body }) => body.credential ?? []).map(secretOf));
    expect(shown).toHaveLength(2);
    const logins = shown.map(async (secret) => (await oauthLogin(one.url, { clientId, secret })).status);
    expect(await Promise.all(logins)).toEqual([401, 200]);
  }
});
