import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventsIn, expectReadModelsToBeTheFold, expectSoundLog, readModelsCaughtUp } from '../support/audit.js';
import { type Answer, eventually } from '../support/http.js';
import { oauthLogin } from '../support/login.js';
import { type ClientAnswer, type NewClient, Portal, readAfter } from '../support/portal.js';
import { Standalone } from '../support/standalone.js';

jest.setTimeout(60_000);

/** Of whom some create clients, some log in, and the others rename. */
const CALLERS = 32;

const dataDir = mkdtempSync(join(tmpdir(), 'graceful-shutdown-'));
let standalone: Standalone | undefined;
afterAll(async () => {
  await standalone?.kill();
  rmSync(dataDir, { recursive: true });
});

interface Acknowledged {
  readonly name: string;
  readonly answer: Answer<ClientAnswer>;
}

/** 32 callers at work, each until the service does not answer it any more. */
class Load {
  readonly acknowledged: Acknowledged[] = [];
  readonly strange: string[] = [];
  private readonly callers: Promise<void>[];

  constructor(
    private readonly portal: Portal,
    clients: readonly NewClient[],
  ) {
    this.callers = clients.map((client, caller) => this.call(client, caller));
  }

  /** Resolves when nobody is answered any more. */
  async end(): Promise<void> {
    await Promise.all(this.callers);
  }

  private async call(client: NewClient, caller: number): Promise<void> {
    for (let count = 1; ; count++) {
      const name = `Name ${caller}-${count}`;
      const answer = await this.send(client, caller, name).catch(() => undefined);
      if (!answer) return;
      if (answer.status >= 300) this.strange.push(`${name}: ${answer.status} ${answer.text}`);
      else if ('client' in answer.body) this.acknowledged.push({ name, answer: answer as Answer<ClientAnswer> });
    }
  }

  private send(client: NewClient, caller: number, name: string): Promise<Answer<object>> {
    if (caller % 8 === 0) return this.portal.create({ name });
    if (caller % 8 === 1) return oauthLogin(this.portal.url, client);
    return this.portal.rename(client.clientId, name);
  }
}

it(`told to stop under ${CALLERS} callers, it answers whatever it carries out, keeps it, and exits with 0`, async () => {
  let running = (standalone = await Standalone.startReady({ dataDir }));
  const portal = Portal.of(running);
  const clients: NewClient[] = [];
  while (clients.length < CALLERS) {
    clients.push(...(await Promise.all(Array.from({ length: 8 }, () => portal.newClient()))));
  }
  const load = new Load(portal, clients);
  await eventually(
    () => Promise.resolve(load.acknowledged.length),
    (count) => count > 1_000,
  );
  const toldAt = performance.now();
  expect(await running.stop()).toBe(0);
  expect(performance.now() - toldAt).toBeLessThan(5_000);
  await load.end();
  expect(load.strange).toEqual([]);

  const events = await eventsIn(dataDir);
  const carriedOut = events.map(({ data }) => data.name).filter((name) => /^Name \d/.test(String(name)));
  expect(carriedOut.sort()).toEqual(load.acknowledged.map(({ name }) => name).sort());
  await expectSoundLog(events);

  running = standalone = await Standalone.start({ dataDir });
  const again = new Portal(running.url, portal.token);
  const newest = new Map(load.acknowledged.map(({ answer }) => [answer.body.client.clientId, answer]));
  for (const [clientId, answer] of newest) {
    expect((await again.get(clientId, readAfter(answer))).body).toEqual(answer.body.client);
  }
  await readModelsCaughtUp(dataDir);
  expect(await running.stop()).toBe(0);
  await expectReadModelsToBeTheFold(dataDir, events);
});
