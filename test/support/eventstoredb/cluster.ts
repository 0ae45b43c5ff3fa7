import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../free-ports.js';
import { EventStoreNode } from './event-store.js';

const NODES = 3;

export interface ClusterOptions {
  /** Kept by the caller; absent: a new one that `stop()` removes. */
  readonly directory?: string;
  /** How long followers keep from their readers what is committed, in ms (default 5; up to 55 were seen). */
  readonly lagMs?: number;
  /** How long no leader is heard before another is elected, in ms (default 600, up to half as much more). */
  readonly electionMs?: number;
  /** How long a replaced leader goes on answering reads from its old state, in ms (default 500; up to 2030 were seen). */
  readonly staleMs?: number;
}

/** Three nodes, of which one leads. One that ends by itself is started again, as a supervisor does. */
export class Cluster {
  private constructor(
    readonly nodes: readonly EventStoreNode[],
    private readonly remove: () => void,
  ) {}

  /** Resolves when a leader and both followers serve. */
  static async start({ directory, lagMs, electionMs, staleMs }: ClusterOptions = {}): Promise<Cluster> {
    const folder = directory ?? mkdtempSync(join(tmpdir(), 'event-store-cluster-'));
    const settings = Object.entries({ 'lag-ms': lagMs, 'election-ms': electionMs, 'stale-ms': staleMs })
      .filter(([, value]) => value !== undefined)
      .flatMap(([name, value]) => [`--${name}`, String(value)]);
    const ports = await freePorts(NODES);
    const nodes = ports.map((port, index) => {
      const peers = ports.filter((other) => other !== port).flatMap((other) => ['--peer', String(other)]);
      const node = new EventStoreNode(port, ['--file', join(folder, `node-${index}.jsonl`), ...peers, ...settings]);
      node.events.on('ended', () => void node.restart());
      return node;
    });
    await Promise.all(nodes.map((node) => node.restart()));
    const cluster = new Cluster(nodes, () => {
      if (directory === undefined) rmSync(folder, { recursive: true });
    });
    await cluster.until(() => nodes.every(({ state }) => state?.isReady));
    return cluster;
  }

  /** What a client connects to. */
  get url(): string {
    const hosts = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `esdb://${hosts}?tls=false&nodePreference=leader`;
  }

  /** Resolves with the node that leads; `former`: one that doesn't count, since it was killed or frozen. */
  async leader(former?: EventStoreNode): Promise<EventStoreNode> {
    const find = () =>
      this.nodes
        .filter((node) => node !== former && node.state?.isReady && node.state.role === 'leader')
        .sort((a, b) => (b.state?.epoch ?? 0) - (a.state?.epoch ?? 0))[0];
    await this.until(() => find() !== undefined);
    return find() ?? this.leader(former);
  }

  /** Resolves when nodes said of themselves what `isSo` asks for. */
  async until(isSo: () => boolean | undefined): Promise<void> {
    while (!isSo()) {
      const heard = new AbortController();
      await Promise.race(this.nodes.map(({ events }) => once(events, 'state', { signal: heard.signal }))).finally(
        () => {
          heard.abort();
        },
      );
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    this.remove();
  }
}

/** Resolves when the cluster serves. */
export const startCluster = (options?: ClusterOptions): Promise<Cluster> => Cluster.start(options);
