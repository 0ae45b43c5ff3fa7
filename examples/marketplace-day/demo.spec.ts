import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describeWithMongo } from '../../test/servers/mongodb/mongo-server.js';
import { type Answer, send } from '../../test/support/api/http.js';
import { Standalone } from '../../test/support/processes/standalone.js';
import { ProductionPair } from '../../test/support/processes/store-pair.js';

interface Played {
  readonly code: number | null;
  /** Number of failures by step, read from the printed summary. */
  readonly failures: Readonly<Record<string, number>>;
}

const play = async (...options: string[]): Promise<Played> => {
  const demo = spawn(process.execPath, [join(__dirname, 'demo.mjs'), ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(demo, 'exit');
  const [printed] = await Promise.all([text(demo.stdout), text(demo.stderr), exited]);
  const rows = [...printed.matchAll(/^(?:\d\d:\d\d )?(\S.*?) +\d+ +\d+ +[\d.]+ +\d+ +(\d+)$/gm)];
  return {
    code: demo.exitCode,
    failures: Object.fromEntries(rows.map(([, step = '', failures]) => [step, Number(failures)] as const)),
  };
};

/**
 * Starts a proxy that has a fault, which the demo must find: the proxy caches each successful login, and sends the
 * cached response to all later requests that are equal.
 */
const cachingProxy = async (target: string) => {
  const logins = new Map<string, Answer<unknown>>();
  const proxy = createServer((incoming, outgoing) => {
    void (async () => {
      const { method = '', url = '', headers } = incoming;
      const body = await buffer(incoming);
      const login = url.endsWith('/login') ? [url, headers.authorization, body.toString()].join('\n') : undefined;
      const passedOn = { ...headers } as Record<string, string>;
      const now = await send(method, target, url, { headers: passedOn, ...(body.length > 0 && { body }) });
      if (login !== undefined && now.status === 200) logins.set(login, now);
      const answer = logins.get(login ?? '') ?? now;
      outgoing.writeHead(answer.status, answer.headers).end(answer.text);
    })();
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, close: () => proxy.close() };
};

const ISSUER = 'https://api.marketplace.example';

/** Plays the day on a server that is already running. */
const playOn = (url: string, { dataDir }: Standalone): Promise<Played> =>
  play('--url', url, '--token-file', join(dataDir, 'admin.token'), '--issuer', ISSUER);

const STEPS = ['register', 'create', 'assign', 'logIn', 'rotate', 'revoke', 'endSubscriptions', 'compareTables'];
const NO_FAILURES = Object.fromEntries([...STEPS, 'the day'].map((step) => [step, 0]));

describe('npm run demo', () => {
  it('plays the day on a server of its own, and finds every answer right', async () => {
    const { code, failures } = await play();
    expect(failures).toEqual(NO_FAILURES);
    expect(code).toBe(0);
  });

  it('fails on a running server behind a cache that outlives rotations, revocations and ended subscriptions', async () => {
    const standalone = await Standalone.start({ env: { PUBLIC_URL: ISSUER } });
    const { url, close } = await cachingProxy(standalone.url);
    try {
      const { code, failures } = await playOn(url, standalone);
      expect(failures).toMatchObject({ register: 0, create: 0, assign: 0, logIn: 0, rotate: 17, revoke: 25 });
      expect(failures.endSubscriptions).toBeGreaterThan(0);
      expect(code).toBe(1);
    } finally {
      close();
      await standalone.stop();
    }
  });
});

describeWithMongo('npm run demo, on EventStoreDB and MongoDB', () => {
  let pair: ProductionPair;

  beforeEach(async () => {
    pair = await ProductionPair.create();
    await pair.arrive();
  });
  afterEach(() => pair.remove());

  it('plays the day, and finds every answer right', async () => {
    const standalone = await Standalone.startReady({ env: { ...pair.env, PUBLIC_URL: ISSUER } });
    try {
      const { code, failures } = await playOn(standalone.url, standalone);
      expect(failures).toEqual(NO_FAILURES);
      expect(code).toBe(0);
    } finally {
      await standalone.stop();
    }
  });
});
