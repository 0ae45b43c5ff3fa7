import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, eventually } from '../support/api/http.js';
import { oauthLogin } from '../support/api/login.js';
import { type ClientAnswer, type NewClient, Portal, readAfter } from '../support/api/portal.js';
import { eventsIn, expectReadModelsToBeTheFold, expectSoundLog, readModelsCaughtUp } from '../support/events/audit.js';
import { idleMs } from '../support/load/load-meter.js';
import { Standalone } from '../support/processes/standalone.js';

/** Number of callers. One in eight callers creates clients, one in eight logs in, and the others rename clients. */
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

/** Runs the callers. Each caller sends requests until the service no longer answers. */
class Load {
  readonly acknowledged: Acknowledged[] = [];
  readonly unexpected: string[] = [];
  /** How each caller learnt that the service has stopped. */
  readonly ends: unknown[] = [];
  private readonly callers: Promise<void>[];

  constructor(
    private readonly portal: Portal,
    clients: readonly NewClient[],
  ) {
    this.callers = clients.map((client, caller) => this.call(client, caller));
  }

  /** Resolves when no caller gets answers any more. */
  async end(): Promise<void> {
    await Promise.all(this.callers);
  }

  private async call(client: NewClient, caller: number): Promise<void> {
    for (let count = 1; ; count++) {
      const name = `Name ${caller}-${count}`;
      const answer = await this.send(client, caller, name).catch((error: unknown) => {
        this.ends.push((error as NodeJS.ErrnoException).code ?? error);
      });
      if (!answer) return;
      if (answer.status >= 300) this.unexpected.push(`${name}: ${answer.status} ${answer.text}`);
      else if ('client' in answer.body) this.acknowledged.push({ name, answer: answer as Answer<ClientAnswer> });
    }
  }

  private send(client: NewClient, caller: number, name: string): Promise<Answer<object>> {
    if (caller % 8 === 0) return this.portal.create({ name });
    if (caller % 8 === 1) return oauthLogin(this.portal.url, client);
    return this.portal.rename(client.clientId, name);
  }
}

it(`told to stop under ${CALLERS} callers, it resets no connection, answers every command that it carries out, keeps it, and exits with 0`, async () => {
  let running = (standalone = await Standalone.startReady({ dataDir, env: { SHUTDOWN_GRACE_MS: '500' } }));
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
  let code: number | null = null;
  expect(await idleMs(async () => (code = await running.stop()))).toBeLessThan(5_000);
  expect(code).toBe(0);
  await load.end();
  expect(load.unexpected).toEqual([]);
  // Nobody was cut off: the service no longer accepted connections.
  expect(new Set(load.ends)).toEqual(new Set(['ECONNREFUSED']));

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
