import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/processes/free-ports.js';
import { InstalledServer } from './installed-server.js';
import type { NodeProgram, NodeState } from './node-program.js';

const STAND_IN = join(__dirname, 'server.mjs');
/** How much of an installed server's output is kept for the error message of a failed start, in characters. */
const OUTPUT_LENGTH = 10_000;

/** The versions of EventStoreDB and KurrentDB that the stand-in can play. */
export const STAND_IN_VERSIONS = ['23.10.8', '24.10.14', '26.1.0'] as const;
export type StandInVersion = (typeof STAND_IN_VERSIONS)[number];

/** The installed server that the tests start in place of the stand-in, if the environment names one. */
export const installedProgram = (): string | undefined => process.env.EVENTSTOREDB_PROGRAM;

/** An installed server takes `file`, `port` and `maxAppendBytes`. The other options are only for the stand-in. */
export interface EventStoreOptions {
  /**
   * The path of the log, which the caller keeps: a file, or a folder on an installed server. If absent, the server gets
   * one, which `stop()` removes.
   */
  readonly file?: string;
  /** The port to listen on. If absent, the server takes a free port and keeps this port when it is restarted. */
  readonly port?: number;
  /** How long the process still serves clients after SIGTERM, in ms (default 5000, as on the real server). */
  readonly lingerMs?: number;
  /**
   * Number of events that may wait for a subscriber that has reached the log's end and then stops reading (default
   * 1024).
   */
  readonly liveBuffer?: number;
  /** The version of EventStoreDB that the stand-in behaves like (default 23.10.8). */
  readonly version?: StandInVersion;
  /** The largest size of an append, in bytes (default: that of the version). */
  readonly maxAppendBytes?: number;
  /** The largest size of an event: the option `MaxAppendEventSize` of 24.10 and later (default: that of the version). */
  readonly maxEventBytes?: number;
  /**
   * Accounts: name, password and perhaps a group, separated by colons (`admin:changeit:$admins`). With accounts, access
   * lists are in force. Clients name their account only on connections with TLS (see `TlsFront`). Without accounts,
   * everybody may do everything.
   */
  readonly account?: readonly string[];
}

/** How a server refuses calls. */
export interface Refusal {
  /** The gRPC status code, e.g. 16 (unauthenticated) or 7 (permission denied). */
  readonly status: number;
  readonly message: string;
  /** Further fields of the answer. The client makes its typed errors from them. */
  readonly trailers?: Readonly<Record<string, string>>;
}

/** The answer to the message with the id `heeded`. */
interface Heeded {
  readonly heeded: number;
  /** Number of reads of streams that the process has served. */
  readonly streamReads: number;
}
type Message = { readonly port: number } | Heeded | NodeState;

/** The stand-in for a node. `args` are command-line arguments of server.mjs. */
export class StandIn implements NodeProgram {
  constructor(private readonly args: readonly string[]) {}

  spawn(port: number): ChildProcess {
    return spawn(process.execPath, [STAND_IN, ...this.args, '--port', String(port)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
  }

  watch(child: ChildProcess, _port: number, report: (state: NodeState) => void): Promise<number> {
    return new Promise((resolve) => {
      child.on('message', (message: Message) => {
        if ('port' in message) resolve(message.port);
        else if ('role' in message) report(message);
      });
    });
  }

  signal(child: ChildProcess, signal: NodeJS.Signals): void {
    child.kill(signal);
  }
}

/** A node of EventStoreDB, which runs as a process and listens on 127.0.0.1. */
export class EventStoreNode {
  /**
   * Emits `state` when the node's state changes. Emits `ended` with the exit code when the process ends without a call
   * of `kill` or `terminate`.
   */
  readonly events = new EventEmitter();
  state: NodeState | undefined;
  private child: ChildProcess | undefined;
  private exited: Promise<number | null> = Promise.resolve(null);
  private isEndExpected = false;
  private messages = 0;

  constructor(
    public port: number,
    private readonly program: NodeProgram,
  ) {}

  /** The connection string for clients. */
  get url(): string {
    return `esdb://127.0.0.1:${this.port}?tls=false`;
  }

  /**
   * Starts the process on its port and file. The process must not be running. Resolves when the process listens, or
   * when `kill` or `terminate` has ended it.
   */
  async restart(): Promise<void> {
    const child = this.program.spawn(this.port);
    const kill = () => {
      this.program.signal(child, 'SIGKILL');
    };
    process.once('exit', kill);
    this.child = child;
    this.isEndExpected = false;
    const exited = once(child, 'close').then(([code]) => {
      process.off('exit', kill);
      this.state = undefined;
      if (!this.isEndExpected) this.events.emit('ended', code);
      return code as number | null;
    });
    this.exited = exited;
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => (output = `${output}${String(chunk)}`.slice(-OUTPUT_LENGTH)));
    }
    const listening = this.program.watch(child, this.port, (state) => {
      this.state = state;
      this.events.emit('state');
    });
    const ended = exited.then((code) => {
      if (!this.isEndExpected) throw new Error(`The event store ended with ${code} before it listened\n${output}`);
      return this.port;
    });
    this.port = await Promise.race([listening, ended]);
  }

  /** Kills the process (`kill -9`). Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.isEndExpected = true;
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Pauses the process (SIGSTOP). The process keeps its connections open. */
  freeze(): void {
    this.signal('SIGSTOP');
  }

  /** Resumes a frozen process. */
  thaw(): void {
    this.signal('SIGCONT');
  }

  /**
   * Cuts the node off from the other nodes. Clients can still reach the node. Resolves when the node is cut off. Only
   * the stand-in can do this.
   */
  async isolate(): Promise<void> {
    await this.tell({ isIsolated: true });
  }

  /** Undoes `isolate`. */
  async reconnect(): Promise<void> {
    await this.tell({ isIsolated: false });
  }

  /**
   * From now on, the server ends every append, read and subscription with this status, also those that are open.
   * Resolves when the server refuses. Only the stand-in can do this.
   */
  async refuse(refusal: Refusal): Promise<void> {
    await this.tell({ refusal });
  }

  /** Undoes `refuse`. */
  async serveAgain(): Promise<void> {
    await this.tell({ refusal: null });
  }

  /** Returns the number of reads of streams that the process has served. Subscriptions and reads of `$all` don't count. */
  async streamReads(): Promise<number> {
    return (await this.tell({})).streamReads;
  }

  /** Sends a message to the stand-in. Resolves when it has heeded the message. Rejects if no stand-in runs. */
  private async tell(message: object): Promise<Heeded> {
    const { child } = this;
    if (!child?.connected) throw new Error('The event store does not run, or is no stand-in');
    const id = (this.messages += 1);
    const heeded = new Promise<Heeded>((resolve) => {
      const listen = (answer: Message) => {
        if (!('heeded' in answer) || answer.heeded !== id) return;
        child.off('message', listen);
        resolve(answer);
      };
      child.on('message', listen);
    });
    child.send({ id, ...message });
    const ended = this.exited.then(() => {
      throw new Error('The event store ended before it heeded a message');
    });
    return Promise.race([heeded, ended]);
  }

  /** Ends the process by SIGTERM. Resolves with the exit code when the process has ended. */
  async terminate(): Promise<number | null> {
    this.isEndExpected = true;
    this.signal('SIGTERM');
    return this.exited;
  }

  private signal(signal: NodeJS.Signals): void {
    if (this.child) this.program.signal(this.child, signal);
  }
}

/** An EventStoreDB server that is not in a cluster: the stand-in, or an installed server. */
export class EventStore extends EventStoreNode {
  private constructor(
    port: number,
    program: NodeProgram,
    private readonly remove: () => void,
  ) {
    super(port, program);
  }

  static async start({ file, port, ...options }: EventStoreOptions = {}): Promise<EventStore> {
    const directory = file === undefined ? mkdtempSync(join(tmpdir(), 'event-store-')) : undefined;
    const path = file ?? join(directory ?? '', 'events.jsonl');
    const installed = installedProgram();
    const store = new EventStore(
      port ?? (installed === undefined ? 0 : await freePort()),
      installed === undefined
        ? new StandIn(['--file', path, ...standInArgs(options)])
        : await InstalledServer.of(installed, {
            directory: path,
            peerPort: await freePort(),
            others: [],
            more: options.maxAppendBytes === undefined ? {} : { 'max-append-size': options.maxAppendBytes },
          }),
      () => {
        if (directory !== undefined) rmSync(directory, { recursive: true });
      },
    );
    await store.restart();
    return store;
  }

  /** Kills the process. Removes the log, unless the caller gave its path. */
  async stop(): Promise<void> {
    await this.kill();
    this.remove();
  }
}

/** Returns the command-line arguments for these options of server.mjs, such as `--linger-ms 300`. */
export const standInArgs = (options: object): string[] =>
  Object.entries(options).flatMap(([name, value]: [string, string | number | readonly string[] | undefined]) => {
    const option = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return [value].flat().flatMap((each) => (each === undefined ? [] : [option, String(each)]));
  });

/** Starts a server. Resolves when the server serves clients. */
export const startEventStore = (options?: EventStoreOptions): Promise<EventStore> => EventStore.start(options);

/** Describes tests that need the stand-in. On an installed server they are skipped, with a warning. */
export const describeOnStandIn = (name: string, suite: () => void): void => {
  if (installedProgram() === undefined) {
    describe(name, suite);
    return;
  }
  console.warn(`SKIPPED on an installed event store, because it needs the stand-in: ${name}`);
  describe.skip(name, suite);
};
