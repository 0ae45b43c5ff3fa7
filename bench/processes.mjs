import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MasterKeys } from '#credentials';
import { standaloneMasterKey } from '#platform';
import { BootstrapIssuer } from '#tokens';
import { httpRequest, sendOnce } from './load.mjs';

const PROGRAM = fileURLToPath(new URL('../dist/apps/standalone/src/main.js', import.meta.url));

export const WORKSPACE = 'bench';
const SCOPES = ['clients:write', 'clients:read', 'subscriptions:write', 'audit:read'];

/** The service under test: the built standalone in a process of its own, on embedded stores in `dataDir`. */
export class Standalone {
  constructor(child, url, dataDir) {
    this.child = child;
    this.url = url;
    this.dataDir = dataDir;
  }

  /** Resolves when it listens. `environment` adds to its configuration. */
  static async start(dataDir, environment = {}) {
    // A log that was seeded before its service started: without its key the service refuses to make one.
    standaloneMasterKey(dataDir);
    const child = spawn(process.execPath, [PROGRAM], {
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        DATA_DIR: dataDir,
        LOG_LEVEL: 'silent',
        RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
        RATE_LIMIT_LOGIN_PER_CLIENT: '0',
        RATE_LIMIT_LOGIN_PER_ADDRESS: '0',
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const killed = () => child.kill('SIGKILL');
    process.once('exit', killed);
    child.once('exit', () => process.off('exit', killed));
    for await (const line of createInterface({ input: child.stderr })) {
      const [, url] = /^\s*API\s+(http:\S+)\/v1/.exec(line) ?? [];
      if (url !== undefined) return new Standalone(child, url, dataDir);
    }
    throw new Error('The standalone ended before it listened');
  }

  /** Headers of a portal backend whose token is bound to the workspace `bench`. */
  get portalHeaders() {
    this.token ??= new BootstrapIssuer(
      MasterKeys.from({ current: standaloneMasterKey(this.dataDir), previous: [] }),
    ).issueManagementToken(
      { subject: 'portal-backend', scopes: SCOPES, workspaceId: WORKSPACE, ttlSeconds: 86_400 },
      new Date(),
    );
    return { authorization: `Bearer ${this.token}` };
  }

  /** A request of that portal. */
  request(method, path, { headers, body } = {}) {
    return httpRequest(method, path, { headers: { ...this.portalHeaders, ...headers }, body });
  }

  async json(method, path, body) {
    return JSON.parse(await sendOnce(this.url, this.request(method, path, { body })));
  }

  /** Values of a metric, one for each of its labels. */
  async metric(name) {
    const text = await sendOnce(this.url, httpRequest('GET', '/metrics'));
    return [...text.matchAll(new RegExp(`^${name}(?:{.*})? (.+)$`, 'gm'))].map(([, value]) => Number(value));
  }

  /** Waits until every read model is served and holds the log's last event, so that its work burdens no one else. */
  async caughtUp(endPosition, seconds = 300) {
    const giveUpAt = performance.now() + seconds * 1000;
    for (;;) {
      const positions = await this.metric('projection_position');
      const isReady = await sendOnce(this.url, httpRequest('GET', '/health/ready')).then(
        () => true,
        () => false,
      );
      if (isReady && positions.every((position) => position >= Number(endPosition))) return;
      if (performance.now() > giveUpAt) throw new Error(`The read models stayed behind for ${seconds} s`);
      await delay(20);
    }
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }
}

/** A program of this folder in a process of its own: it is sent `options`, answers when it is ready, and is asked more. */
export class Companion {
  constructor(child, ready) {
    this.child = child;
    /** What it answered to its options. */
    this.ready = ready;
  }

  static async start(program, options) {
    const child = fork(fileURLToPath(new URL(program, import.meta.url)));
    const companion = new Companion(child, undefined);
    companion.ready = await companion.ask(options);
    return companion;
  }

  async ask(question) {
    const asking = new AbortController();
    const answer = Promise.race([
      once(this.child, 'message', asking),
      once(this.child, 'exit', asking).then(([code]) => {
        throw new Error(`${this.child.spawnargs[1]} ended with ${code}`);
      }),
    ]);
    this.child.send(question);
    try {
      return (await answer)[0];
    } finally {
      asking.abort(); // the other one stops listening
    }
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
