import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Issuer } from '../api/issuer.js';
import { Portal } from '../api/portal.js';
import type { Environment } from '../processes/program.js';
import { Service } from '../processes/service.js';
import { AcceptanceHistory } from './acceptance-history.js';
import { ClientChanges } from './client-changes.js';
import { type Action, type AuthNode, ConsumerLoad } from './consumer-load.js';
import { Random } from './random.js';

const NODES = 2;
const WORKSPACE = 'acme';

/** An auth node that is running. `stop()` ends the node. */
export type RunningNode = Pick<Service, 'url' | 'stop'>;

export interface MarketplaceOptions {
  /** Added to the environment of all processes. If `env` names no event log, all processes use the same SQLite file. */
  readonly env?: Environment;
  /** Added to the environment of the auth nodes only. */
  readonly nodeEnv?: Environment;
  /** Starts an auth node and waits until the node is ready. By default, an auth node is a separate process. */
  readonly startNode?: (env: Environment) => Promise<RunningNode>;
  /** The kinds of call that consumers and gateways make. By default, all kinds. */
  readonly actions?: readonly Action[];
}

/**
 * A management process and two auth nodes on one event log, with consumers that make calls, and a portal that ends what
 * these calls depend on.
 */
export class Marketplace {
  readonly history = new AcceptanceHistory();
  readonly changes: ClientChanges;
  readonly load: ConsumerLoad;

  private constructor(
    readonly portal: Portal,
    readonly nodes: readonly AuthNode[],
    introspectionToken: string,
    actions: readonly Action[] | undefined,
    readonly stop: () => Promise<void>,
  ) {
    const { history } = this;
    const random = new Random(1);
    this.changes = new ClientChanges({ portal, nodes, history, random });
    const { holdings } = this.changes;
    this.load = new ConsumerLoad({ nodes, history, holdings, introspectionToken, random, ...(actions && { actions }) });
  }

  /** Resolves when all nodes are ready and the first clients exist. */
  static async start({ env: given = {}, nodeEnv = {}, startNode = startProcess, actions }: MarketplaceOptions = {}) {
    const dataDir = mkdtempSync(join(tmpdir(), 'marketplace-'));
    const gatewaySecret = join(dataDir, 'gateway.secret');
    writeFileSync(gatewaySecret, randomBytes(32).toString('base64url'), { mode: 0o600 });
    const issuer = await Issuer.start();
    const running: RunningNode[] = [];
    const stop = async () => {
      await Promise.all(running.map((node) => node.stop()));
      await issuer.close();
      rmSync(dataDir, { recursive: true });
    };
    try {
      const env = {
        ...issuer.env,
        DATA_DIR: dataDir,
        MASTER_KEY: randomBytes(32).toString('base64'),
        GATEWAY_SECRET_FILE: gatewaySecret,
        PUBLIC_URL: 'https://api.market.example',
        LOG_LEVEL: 'fatal',
        RATE_LIMIT_LOGIN_PER_ADDRESS: '0',
        RATE_LIMIT_LOGIN_PER_CLIENT: '0',
        RATE_LIMIT_MANAGEMENT_PER_SUBJECT: '0',
        ...given,
      };
      const management = await Service.start('management', env);
      running.push(management);
      const portal = new Portal(management.url, await issuer.token(WORKSPACE));
      const nodes: AuthNode[] = [];
      while (nodes.length < NODES) {
        const node = await startNode({ ...env, ...nodeEnv });
        running.push(node);
        nodes.push({ url: node.url, dataDir });
      }
      const introspection = await issuer.token(WORKSPACE, 'tokens:introspect');
      const marketplace = new Marketplace(portal, nodes, introspection, actions, stop);
      await marketplace.changes.begin();
      return marketplace;
    } catch (error) {
      await stop();
      throw error;
    }
  }
}

const startProcess = (env: Environment): Promise<RunningNode> => Service.startReady('auth', env);
