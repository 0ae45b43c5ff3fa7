import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, eventually, send } from '../api/http.js';
import { Issuer } from '../api/issuer.js';
import { oauthLogin } from '../api/login.js';
import { type NewClient, Portal, readAfter } from '../api/portal.js';
import { processSecrets } from './process-secrets.js';
import type { Environment } from './program.js';
import { Service, type ServiceName } from './service.js';
import { Standalone } from './standalone.js';

const isAnswered = ({ status }: Answer<unknown>): boolean => status === 200;

interface LogLine {
  readonly level?: string;
  readonly msg?: string;
  readonly check?: string;
  readonly projection?: string;
}

export interface DeploymentOptions {
  /** Whether a standalone runs beside the three processes, on the same event log, with read models of its own. */
  readonly standalone?: boolean;
}

/** Three processes (management, auth and projector) that share an event log. Their read store is an SQLite file. */
export class Deployment {
  private constructor(
    private readonly services: Readonly<Record<ServiceName, Service>>,
    private readonly standalone: Standalone | undefined,
    readonly portal: Portal,
    private readonly issuer: Issuer,
    private readonly env: Environment,
    private readonly dataDir: string,
  ) {}

  /** Resolves when all three processes are ready. */
  static async start(eventLog: Environment, { standalone = false }: DeploymentOptions = {}): Promise<Deployment> {
    const issuer = await Issuer.start();
    const dataDir = await mkdtemp(join(tmpdir(), 'deployment-'));
    const env = { ...issuer.env, ...eventLog, ...processSecrets(), DATA_DIR: dataDir };
    const [management, auth, projector] = await Promise.all([
      Service.startReady('management', env),
      Service.startReady('auth', env),
      Service.startReady('projector', env),
    ]);
    const portal = new Portal(management.url, await issuer.token('acme'));
    const { DATA_DIR: _, ...shared } = { ...env, LOG_LEVEL: 'info' };
    const beside = standalone ? await Standalone.startReady({ env: shared }) : undefined;
    return new Deployment({ management, auth, projector }, beside, portal, issuer, env, dataDir);
  }

  /** Starts one more process, and resolves when it is ready. The caller has to stop it. */
  another(name: ServiceName, env: Environment): Promise<Service> {
    return Service.startReady(name, { ...this.env, ...env });
  }

  /** The same portal, at another process. */
  portalAt({ url }: Service): Portal {
    return new Portal(url, this.portal.token);
  }

  login(client: NewClient): Promise<Answer<unknown>> {
    return oauthLogin(this.services.auth.url, client);
  }

  /** Resolves when `/health/ready` of each process has returned this status. */
  async waitForReadiness(status: 200 | 503): Promise<void> {
    const isSo = (answer: Answer<unknown>) => answer.status === status;
    await Promise.all(this.all.map(({ url }) => eventually(() => send('GET', url, '/health/ready'), isSo)));
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

  /** Counts the warnings in the processes' logs, and the lines that an outage is over, by process and message. */
  outageLines(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [name, program] of Object.entries({ ...this.services, standalone: this.standalone })) {
      for (const line of program?.output().split('\n') ?? []) {
        const { level, msg, check, projection } = parsed(line);
        if (level !== 'warn' && msg?.endsWith('can be used again') !== true) continue;
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
   * Stops the processes. Returns their exit codes. Code 0 means that the process ran until now and ended
   * properly.
   */
  async stop(): Promise<(number | null)[]> {
    const codes = await Promise.all(this.all.map((service) => service.stop()));
    await this.issuer.close();
    await rm(this.dataDir, { recursive: true });
    return codes;
  }

  private get all(): readonly (Service | Standalone)[] {
    const { standalone, services } = this;
    return standalone ? [...Object.values(services), standalone] : Object.values(services);
  }
}

const parsed = (line: string): LogLine => (line.startsWith('{') ? (JSON.parse(line) as LogLine) : {});
