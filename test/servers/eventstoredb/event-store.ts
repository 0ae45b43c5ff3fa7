import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = join(__dirname, 'server.mjs');

export interface EventStoreOptions {
  /** The log's file, which the caller keeps. If absent, the server makes a file, which `stop()` removes. */
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
  /**
   * Whether a slow live subscription goes back to reading from the log, and is told again and again that it has caught
   * up, as on 24.10 and later (default: it is cut off, as on 23.10).
   */
  readonly fallsBack?: boolean;
  /** Whether answers are compressed for clients that accept gzip, as KurrentDB 25.1 and later do (default false). */
  readonly gzip?: boolean;
  /** The largest size of an append, in bytes (default 1 MiB). */
  readonly maxAppendBytes?: number;
  /** The largest size of an event: the option `MaxAppendEventSize` of 24.10 and later (default: no limit). */
  readonly maxEventBytes?: number;
  /**
   * Accounts: name, password and perhaps a group, separated by colons (`admin:changeit:$admins`). With accounts, access
   * lists are in force. Clients name their account only on connections with TLS (see `TlsFront`). Without accounts,
   * everybody may do everything.
   */
  readonly account?: readonly string[];
  /** Whether sizes include metadata and types, as on 24.10 and 25.0 (default: only the data, as on 23.10). */
  readonly countsAll?: boolean;
}

/** The state that a node has reported last. A frozen (paused) node reports nothing. */
export interface NodeState {
  readonly role: 'candidate' | 'follower' | 'leader';
  /** Whether the node serves clients. */
  readonly isReady: boolean;
  readonly epoch: number;
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

/** A stand-in for an EventStoreDB node. The node runs as a process and listens on 127.0.0.1. */
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

  /** `args` are command-line arguments of server.mjs. */
  constructor(
    public port: number,
    private readonly args: readonly string[],
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
    const child = spawn(process.execPath, [PROGRAM, ...this.args, '--port', String(this.port)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    this.child = child;
    this.isEndExpected = false;
    this.exited = once(child, 'exit').then(([code]) => {
      process.off('exit', kill);
      this.state = undefined;
      if (!this.isEndExpected) this.events.emit('ended', code);
      return code as number | null;
    });
    const listening = new Promise<number>((resolve) => {
      child.on('message', (message: Message) => {
        if ('port' in message) resolve(message.port);
        else if ('heeded' in message) this.events.emit(`heeded ${message.heeded}`, message);
        else this.heed(message);
      });
    });
    const ended = this.exited.then((code) => {
      if (!this.isEndExpected) throw new Error(`The event store ended with ${code} before it listened`);
      return this.port;
    });
    this.port = await Promise.race([listening, ended]);
  }

  /** Kills the process (`kill -9`). Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.isEndExpected = true;
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  /** Pauses the process (SIGSTOP). The process keeps its connections open. */
  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  /** Resumes a frozen process. */
  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Cuts the node off from the other nodes. Clients can still reach the node. Resolves when the node is cut off. */
  async isolate(): Promise<void> {
    await this.tell({ isIsolated: true });
  }

  /** Undoes `isolate`. */
  async reconnect(): Promise<void> {
    await this.tell({ isIsolated: false });
  }

  /**
   * From now on, the server ends every append, read and subscription with this status, also those that are open.
   * Resolves when the server refuses.
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

  /** Sends a message to the process. Resolves when the process has heeded it. Rejects if no process runs. */
  private async tell(message: object): Promise<Heeded> {
    const { child } = this;
    if (!child?.connected) throw new Error('The event store does not run');
    const id = (this.messages += 1);
    const heeded = once(this.events, `heeded ${id}`).then(([answer]) => answer as Heeded);
    child.send({ id, ...message });
    const ended = this.exited.then(() => {
      throw new Error('The event store ended before it heeded a message');
    });
    return Promise.race([heeded, ended]);
  }

  /** Ends the process by SIGTERM. Resolves with the exit code when the process has ended. */
  async terminate(): Promise<number | null> {
    this.isEndExpected = true;
    this.child?.kill('SIGTERM');
    return this.exited;
  }

  private heed(state: NodeState): void {
    this.state = state;
    this.events.emit('state');
  }
}

/** A stand-in for an EventStoreDB server that is not in a cluster. */
export class EventStore extends EventStoreNode {
  private constructor(
    port: number,
    args: readonly string[],
    private readonly remove: () => void,
  ) {
    super(port, args);
  }

  static async start({ file, port = 0, ...options }: EventStoreOptions = {}): Promise<EventStore> {
    const directory = file === undefined ? mkdtempSync(join(tmpdir(), 'event-store-')) : undefined;
    const args = ['--file', file ?? join(directory ?? '', 'events.jsonl')];
    for (const [name, value] of Object.entries(options)) {
      const option = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      for (const each of [value].flat())
        if (each !== false) args.push(option, ...(each === true ? [] : [String(each)]));
    }
    const store = new EventStore(port, args, () => {
      if (directory !== undefined) rmSync(directory, { recursive: true });
    });
    await store.restart();
    return store;
  }

  /** Kills the process. Removes the log's file, unless the caller gave the file. */
  async stop(): Promise<void> {
    await this.kill();
    this.remove();
  }
}

/** Starts a server. Resolves when the server serves clients. */
export const startEventStore = (options?: EventStoreOptions): Promise<EventStore> => EventStore.start(options);
