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
  readonly printed: string;
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
    ...{ code: demo.exitCode, printed },
    failures: Object.fromEntries(rows.map(([, step = '', failures]) => [step, Number(failures)] as const)),
  };
};

interface Passed {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: Buffer;
}

type SentAnswer = Pick<Answer<unknown>, 'status' | 'headers' | 'text'>;

/** Starts a proxy that passes all requests on to `target`, and answers with what `change` makes of each answer. */
const startProxy = async (target: string, change: (answer: SentAnswer, request: Passed) => SentAnswer) => {
  const proxy = createServer((incoming, outgoing) => {
    void (async () => {
      const { method = '', url = '', headers } = incoming;
      const body = await buffer(incoming);
      const passedOn = { ...headers } as Record<string, string>;
      const now = await send(method, target, url, { headers: passedOn, ...(body.length > 0 && { body }) });
      const answer = change(now, { method, url, authorization: headers.authorization, body });
      outgoing.writeHead(answer.status, answer.headers).end(answer.text);
    })();
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, close: () => proxy.close() };
};

/**
 * Starts a proxy that has a fault, which the demo must find: the proxy caches each successful login, and sends the
 * cached response to all later requests that are equal.
 */
const cachingProxy = (target: string) => {
  const logins = new Map<string, SentAnswer>();
  return startProxy(target, (now, { url, authorization, body }) => {
    const login = url.endsWith('/login') ? [url, authorization, body.toString()].join('\n') : undefined;
    if (login !== undefined && now.status === 200) logins.set(login, now);
    return logins.get(login ?? '') ?? now;
  });
};

interface ClientView {
  readonly credentials: readonly object[];
}

/** Starts a proxy that adds times of use to every client that a query returns, as a server does after a minute. */
const usageProxy = (target: string) => {
  const lastUsedAt = '2026-03-01T10:00:00.000Z';
  const used = (client: ClientView) => ({
    ...{ ...client, lastUsedAt },
    credentials: client.credentials.map((credential) => ({ ...credential, lastUsedAt })),
  });
  return startProxy(target, (now, { method, url }) => {
    if (method !== 'GET' || !/^\/v1\/clients(?:\/[^/]+)?(?:\?|$)/.test(url) || now.status !== 200) return now;
    const body = JSON.parse(now.text) as ClientView | { readonly items: readonly ClientView[] };
    const text = JSON.stringify('items' in body ? { ...body, items: body.items.map(used) } : used(body));
    return { ...now, headers: { ...now.headers, 'content-length': String(Buffer.byteLength(text)) }, text };
  });
};

const ISSUER = 'https://api.marketplace.example';

/** Plays the day on a server that is already running. */
const playOn = (url: string, { dataDir }: Standalone): Promise<Played> =>
  play('--url', url, '--token-file', join(dataDir, 'admin.token'), '--issuer', ISSUER);

const STEPS = ['register', 'create', 'assign', 'logIn', 'rotate', 'revoke', 'endSubscriptions', 'compareTables'];
const NO_FAILURES = Object.fromEntries([...STEPS, 'the day'].map((step) => [step, 0]));

describe('npm run demo', () => {
  it('plays the day on a server of its own, and finds every answer right', async () => {
    const { code, failures, printed } = await play();
    expect(failures).toEqual(NO_FAILURES);
    expect(code).toBe(0);
    const [, whole = '', changed = ''] = printed.split(/^ {2}\$ consumer-clients verify .*$/m);
    expect(whole).toContain('The evidence holds.');
    expect(changed).toContain('THE EVIDENCE DOES NOT HOLD: LEAF_MISMATCH');
  });

  it('plays the day on a server so slow that clients have times of use before the day is over', async () => {
    const standalone = await Standalone.start({ env: { PUBLIC_URL: ISSUER } });
    const { url, close } = await usageProxy(standalone.url);
    try {
      const { code, failures } = await playOn(url, standalone);
      expect(failures).toEqual(NO_FAILURES);
      expect(code).toBe(0);
    } finally {
      close();
      await standalone.stop();
    }
  });

  it('explains its options, and plays nothing', async () => {
    const { code, failures, printed } = await play('--help');
    expect([code, failures]).toEqual([0, {}]);
    for (const option of ['--url', '--token-file', '--issuer']) expect(printed).toContain(option);
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
