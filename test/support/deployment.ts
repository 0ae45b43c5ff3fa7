import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, eventually } from './http.js';
import { Issuer } from './issuer.js';
import { oauthLogin } from './login.js';
import { type NewClient, Portal, readAfter } from './portal.js';
import { processSecrets } from './process-secrets.js';
import { type Environment, Service, type ServiceName } from './service.js';

const PATIENCE_SECONDS = 20;

const isAnswered = ({ status }: Answer<unknown>): boolean => status === 200;

interface LogLine {
  readonly level?: string;
  readonly msg?: string;
  readonly check?: string;
  readonly projection?: string;
}

/** Management, auth and projector, each in a process, on one event log and a read store in a file. */
export class Deployment {
  private constructor(
    private readonly services: Readonly<Record<ServiceName, Service>>,
    readonly portal: Portal,
    private readonly issuer: Issuer,
    private readonly dataDir: string,
  ) {}

  /** Resolves when all three are ready. */
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

  /** Resolves when all three answer readiness so. */
  async readinessIs(status: 200 | 503): Promise<void> {
    const isSo = (answer: Answer<unknown>) => answer.status === status;
    await Promise.all(this.all.map((service) => eventually(() => service.readiness(), isSo, PATIENCE_SECONDS)));
  }

  /** Resolves when a command, a login and a query that sees the command are answered, and all three are ready. */
  async works(client: NewClient): Promise<void> {
    const answered = <T>(ask: () => Promise<Answer<T>>) => eventually(ask, isAnswered, PATIENCE_SECONDS);
    const renamed = await answered(() => this.portal.rename(client.clientId, 'It works'));
    await Promise.all([
      answered(() => this.login(client)),
      answered(() => this.portal.get(client.clientId, readAfter(renamed))),
      this.readinessIs(200),
    ]);
  }

  /** How often each process has warned of what. */
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

  /** Lines that no process may print, whatever happens to its stores. */
  alarms(): string[] {
    const lines = this.all.flatMap((service) => service.output().split('\n'));
    return lines.filter((line) => /"level":"(error|fatal)"|unhandled|Warning: /i.test(line));
  }

  /** The exit codes: 0 of each that lived until now. */
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
