import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../support/processes/free-ports.js';
import { EventStoreNode, installedProgram, StandIn, standInArgs } from './event-store.js';
import { InstalledServer } from './installed-server.js';
import type { NodeProgram } from './node-program.js';

const NODES = 3;

/** An installed server takes only `directory`. The other options are for the stand-in. */
export interface ClusterOptions {
  /**
   * The directory of the nodes' files, which the caller keeps. If absent, the cluster makes a directory, which `stop()`
   * removes.
   */
  readonly directory?: string;
  /**
   * How long followers hide committed events from their readers, in ms (default 5). On real servers, up to 55 ms were
   * seen.
   */
  readonly lagMs?: number;
  /**
   * How long a node waits without hearing from a leader before it calls an election, in ms (default 600). Each node
   * waits a random time between 1 and 1.5 times this value.
   */
  readonly electionMs?: number;
  /**
   * How long a replaced leader still answers reads from its old state, in ms (default 500). On real servers, up to 2030
   * ms were seen.
   */
  readonly staleMs?: number;
}

/** A cluster of three nodes, with one leader. A node whose process ends by itself is started again. */
export class Cluster {
  private constructor(
    readonly nodes: readonly EventStoreNode[],
    private readonly remove: () => void,
  ) {}

  /** Resolves when a leader and both followers serve clients. */
  static async start({ directory, ...settings }: ClusterOptions = {}): Promise<Cluster> {
    const folder = directory ?? mkdtempSync(join(tmpdir(), 'event-store-cluster-'));
    const ports = await freePorts(NODES);
    const programs = await programsOf(folder, ports, settings);
    const nodes = programs.map((program, index) => {
      const node = new EventStoreNode(ports[index] ?? 0, program);
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

  /** The connection string for clients. */
  get url(): string {
    const hosts = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `esdb://${hosts}?tls=false&nodePreference=leader`;
  }

  /**
   * Resolves with the leader, as soon as there is one. Never resolves with `former`, a leader that the test has killed
   * or frozen.
   */
  async leader(former?: EventStoreNode): Promise<EventStoreNode> {
    const find = () =>
      this.nodes
        .filter((node) => node !== former && node.state?.isReady && node.state.role === 'leader')
        .sort((a, b) => (b.state?.epoch ?? 0) - (a.state?.epoch ?? 0))[0];
    await this.until(() => find() !== undefined);
    return find() ?? this.leader(former);
  }

  /** Resolves when `isSo` returns true. `isSo` is called again whenever a node reports its state. */
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

/** Returns the programs of the nodes that listen on these ports. */
const programsOf = async (folder: string, ports: readonly number[], settings: object) => {
  const installed = installedProgram();
  const peerPorts = await freePorts(ports.length);
  return Promise.all(
    ports.map(async (port, index): Promise<NodeProgram> => {
      const others = ports.filter((other) => other !== port);
      const path = join(folder, `node-${index}`);
      if (installed !== undefined) {
        return InstalledServer.of(installed, { directory: path, peerPort: peerPorts[index] ?? 0, others });
      }
      const peers = others.flatMap((other) => ['--peer', String(other)]);
      return new StandIn(['--file', `${path}.jsonl`, ...peers, ...standInArgs(settings)]);
    }),
  );
};

/** Starts a cluster. Resolves when all of its nodes serve clients. */
export const startCluster = (options?: ClusterOptions): Promise<Cluster> => Cluster.start(options);
