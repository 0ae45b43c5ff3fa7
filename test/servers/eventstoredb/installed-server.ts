import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { NodeProgram, NodeState } from './node-program.js';
import { RoleProbe } from './role-probe.js';

const PROBE_EVERY_MS = 50;

/** The names of the options that set addresses. They were renamed in 23.10, and the old ones were removed in 25.0. */
const SINCE_23_10 = { addresses: ['node-ip', 'replication-ip'], port: 'node-port', peerPort: 'replication-port' };
const BEFORE_23_10 = { addresses: ['ext-ip', 'int-ip'], port: 'http-port', peerPort: 'int-tcp-port' };

const versions = new Map<string, Promise<string>>();

/**
 * Resolves with what the program prints about its version, or with nothing if it prints nothing. `logs`: a folder for
 * the log files of this call.
 */
const versionOf = (program: string, logs: string): Promise<string> => {
  const ask = async () => (await promisify(execFile)(program, ['--version', `--log=${logs}`])).stdout;
  const asked = versions.get(program) ?? ask().catch(() => '');
  versions.set(program, asked);
  return asked;
};

const isOlderThan23_10 = (version: string): boolean => {
  const [, major = '0', minor = '0'] = /version v?(\d+)\.(\d+)/i.exec(version) ?? [];
  // A build from source may have version 0.0.0.
  return Number(major) > 0 && Number(major) * 100 + Number(minor) < 2310;
};

let elections = 0;

export interface InstalledServerOptions {
  /** The folder of the node's database and log files. */
  readonly directory: string;
  /** The port on which the node talks to the other nodes of its cluster. */
  readonly peerPort: number;
  /** The client ports of the cluster's other nodes. Empty for a single node. */
  readonly others: readonly number[];
  /** Further options of the server by their names, such as `max-append-size`. */
  readonly more?: Readonly<Record<string, string | number>>;
}

/** An installed EventStoreDB or KurrentDB (`EVENTSTOREDB_PROGRAM`), without TLS and users, on 127.0.0.1. */
export class InstalledServer implements NodeProgram {
  private constructor(
    private readonly program: string,
    private readonly args: readonly string[],
    private readonly portOption: string,
    private readonly isSingle: boolean,
  ) {}

  static async of(
    program: string,
    { directory, peerPort, others, more = {} }: InstalledServerOptions,
  ): Promise<InstalledServer> {
    const logs = join(directory, 'logs');
    const names = isOlderThan23_10(await versionOf(program, logs)) ? BEFORE_23_10 : SINCE_23_10;
    const options: [string, string | number][] = [
      ...names.addresses.map((name): [string, string] => [name, '127.0.0.1']),
      [names.peerPort, peerPort],
      ['db', join(directory, 'db')],
      ['log', logs],
      ...Object.entries(more),
    ];
    if (others.length > 0) {
      options.push(
        ['cluster-size', others.length + 1],
        ['discover-via-dns', 'false'],
        ['gossip-seed', others.map((port) => `127.0.0.1:${port}`).join(',')],
      );
    }
    const args = ['--insecure', ...options.map(([name, value]) => `--${name}=${value}`)];
    return new InstalledServer(program, args, names.port, others.length === 0);
  }

  /** Starts the program in a process group of its own, because it may be a script that starts the server. */
  spawn(port: number): ChildProcess {
    return spawn(this.program, [...this.args, `--${this.portOption}=${port}`], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, EVENTSTORE_TELEMETRY_OPTOUT: 'true', KURRENTDB_TELEMETRY_OPTOUT: 'true' },
    });
  }

  signal({ pid }: ChildProcess, signal: NodeJS.Signals): void {
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      const hasEnded = (error as NodeJS.ErrnoException).code === 'ESRCH';
      if (!hasEnded) throw error;
    }
  }

  /** Resolves when a single node serves clients, or when a node of a cluster answers them. */
  watch(child: ChildProcess, port: number, report: (state: NodeState) => void): Promise<number> {
    return new Promise((resolve) => {
      void this.watchRole(child, port, (state) => {
        report(state);
        if (state.isReady || !this.isSingle) resolve(port);
      });
    });
  }

  /** Reports each change of the node's role, as long as the process runs. */
  private async watchRole(child: ChildProcess, port: number, report: (state: NodeState) => void): Promise<void> {
    const probe = new RoleProbe(port);
    const ended = new AbortController();
    child.once('exit', () => {
      ended.abort();
      probe.close();
    });
    let last: NodeState['role'] | undefined;
    let epoch = 0;
    const isRunning = () => child.exitCode === null && child.signalCode === null;
    while (isRunning()) {
      const role = await probe.ask();
      if (role !== undefined && role !== last && isRunning()) {
        last = role;
        if (role === 'leader') epoch = elections += 1;
        report({ role, isReady: role !== 'candidate', epoch });
      }
      await delay(PROBE_EVERY_MS, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  }
}
