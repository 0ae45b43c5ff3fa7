import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, eventually } from '../api/http.js';
import { Issuer } from '../api/issuer.js';
import { oauthLogin } from '../api/login.js';
import { type NewClient, Portal, readAfter } from '../api/portal.js';
import { processSecrets } from './process-secrets.js';
import type { Environment } from './program.js';
import { Service, type ServiceName } from './service.js';

const isAnswered = ({ status }: Answer<unknown>): boolean => status === 200;

interface LogLine {
  readonly level?: string;
  readonly msg?: string;
  readonly check?: string;
  readonly projection?: string;
}

/** Three processes (management, auth and projector) that share an event log. Their read store is an SQLite file. */
export class Deployment {
  private constructor(
    private readonly services: Readonly<Record<ServiceName, Service>>,
    readonly portal: Portal,
    private readonly issuer: Issuer,
    private readonly dataDir: string,
  ) {}

  /** Resolves when all three processes are ready. */
  static async start(eventLog: Environment): Promise<Deployment> {
    const issuer = await Issuer.start();
    const dataDir = await mkdtemp(join(tmpdir(), 'deployment-'));
    const env = { ...issuer.env, ...eventLog, ...processSecrets(), DATA_DIR: dataDir };
    const [management, auth, projector] = await Promise.all([
      Service.startReady('management', env),
      Service.startReady('auth', env),
      Service.startReady('projector', env),
    ]);
    const portal = new Portal(management.url, await issuer.token('acme'));
    return new Deployment({ management, auth, projector }, portal, issuer, dataDir);
  }

  login(client: NewClient): Promise<Answer<unknown>> {
    return oauthLogin(this.services.auth.url, client);
  }

  /** Resolves when `/health/ready` of each of the three processes has returned this status. */
  async waitForReadiness(status: 200 | 503): Promise<void> {
    const isSo = (answer: Answer<unknown>) => answer.status === status;
    await Promise.all(this.all.map((service) => eventually(() => service.readiness(), isSo)));
  }

  /**
   * Resolves when the three processes work: a command, a login and a query that sees the command have succeeded, and
   * all processes are ready.
   */
  async waitUntilWorking(client: NewClient): Promise<void> {
    const answered = <T>(ask: () => Promise<Answer<T>>) => eventually(ask, isAnswered);
    const renamed = await answered(() => this.portal.rename(client.clientId, 'It works'));
    await Promise.all([
      answered(() => this.login(client)),
      answered(() => this.portal.get(client.clientId, readAfter(renamed))),
      this.waitForReadiness(200),
    ]);
  }

  /** Counts the warnings in the processes' logs, by process and message. */
  warnings(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [name, service] of Object.entries(this.services)) {
      for (const line of service.output().split('\n')) {
        const { level, msg, check, projection } = parsed(line);
        if (level !== 'warn') continue;
        const warning = [name, check ?? projection, msg].filter((part) => part !== undefined).join(': ');
        counts.set(warning, (counts.get(warning) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** Returns log lines that no process may print, even if its stores fail. */
  alarms(): string[] {
    const lines = this.all.flatMap((service) => service.output().split('\n'));
    return lines.filter((line) => /"level":"(error|fatal)"|unhandled|Warning: /i.test(line));
  }

  /**
   * Stops the three processes. Returns their exit codes. Code 0 means that the process ran until now and ended
   * properly.
   */
  async stop(): Promise<(number | null)[]> {
    const codes = await Promise.all(this.all.map((service) => service.stop()));
    await this.issuer.close();
    await rm(this.dataDir, { recursive: true });
    return codes;
  }

  private get all(): readonly Service[] {
    return Object.values(this.services);
  }
}

const parsed = (line: string): LogLine => (line.startsWith('{') ? (JSON.parse(line) as LogLine) : {});
