import { fork } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MasterKeys } from '#credentials';
import { standaloneMasterKey } from '#stores';
import { BootstrapIssuer } from '#tokens';
import { Standalone } from '../test/support/processes/standalone.js';
import { httpRequest, sendOnce } from './load.mjs';

export const WORKSPACE = 'bench';
const SCOPES = ['clients:write', 'clients:read', 'subscriptions:write', 'audit:read'];

/**
 * The service that is measured: the built standalone process (all apps in one) without rate limits, on embedded stores
 * in `dataDir`.
 */
export class MeasuredStandalone extends Standalone {
  /**
   * Resolves when the process listens. The process is stopped when the suite ends. `environment` is added to the
   * environment of the process.
   */
  static async start(bench, dataDir, environment = {}) {
    // We make the master key here. The log may already have events, and then the service refuses to make a master key.
    standaloneMasterKey(dataDir);
    const server = await super.start({
      dataDir,
      env: {
        LOG_LEVEL: 'silent',
        RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
        RATE_LIMIT_LOGIN_PER_CLIENT: '0',
        RATE_LIMIT_LOGIN_PER_ADDRESS: '0',
        ...environment,
      },
    });
    const killed = () => server.child.kill('SIGKILL');
    process.once('exit', killed);
    server.child.once('exit', () => process.off('exit', killed));
    bench.keep(server, 'standalone');
    return server;
  }

  /** Request headers of a portal backend whose token is bound to the workspace `bench`. */
  get portalHeaders() {
    this.token ??= new BootstrapIssuer(
      MasterKeys.from({ current: standaloneMasterKey(this.dataDir), previous: [] }),
    ).issueManagementToken(
      { subject: 'portal-backend', scopes: SCOPES, workspaceId: WORKSPACE, ttlSeconds: 86_400 },
      new Date(),
    );
    return { authorization: `Bearer ${this.token}` };
  }

  /** Returns the bytes of a request that the portal backend sends. */
  request(method, path, { headers, body } = {}) {
    return httpRequest(method, path, { headers: { ...this.portalHeaders, ...headers }, body });
  }

  async json(method, path, body) {
    return JSON.parse(await sendOnce(this.url, this.request(method, path, { body })));
  }

  /** Returns the values of a metric from `/metrics`, one for each combination of labels. */
  async metric(name) {
    const text = await sendOnce(this.url, httpRequest('GET', '/metrics'));
    return [...text.matchAll(new RegExp(`^${name}(?:{.*})? (.+)$`, 'gm'))].map(([, value]) => Number(value));
  }

  /** Whether `/health/ready` answers that the process is ready. */
  isReady() {
    return sendOnce(this.url, httpRequest('GET', '/health/ready')).then(
      () => true,
      () => false,
    );
  }

  /**
   * Waits until every read model is served and includes the event at `endPosition`. After that, the work of the
   * projections disturbs no measurement. Throws after `seconds`.
   */
  async caughtUp(endPosition, seconds = 300) {
    const giveUpAt = performance.now() + seconds * 1000;
    for (;;) {
      const positions = await this.metric('projection_position');
      const isFed = positions.length > 0 && positions.every((position) => position >= Number(endPosition));
      if (isFed && (await this.isReady())) return;
      if (performance.now() > giveUpAt) throw new Error(`The read models stayed behind for ${seconds} s`);
      await delay(20);
    }
  }
}

/**
 * A program of this folder in its own process. The program first receives `options` and replies when it is ready. Then
 * the program replies to the questions of `ask`.
 */
export class Companion {
  constructor(child, ready) {
    this.child = child;
    /** The program's reply to its options. */
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
      // One listener waits for a message, the other for the end of the process. We remove the listener whose event has
      // not happened.
      asking.abort();
    }
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
