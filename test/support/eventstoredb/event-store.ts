import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = join(__dirname, 'server.mjs');

export interface EventStoreOptions {
  /** Kept by the caller; absent: a new one that `stop()` removes. */
  readonly file?: string;
  /** Absent: a free one, kept over restarts. */
  readonly port?: number;
  /** How long the process goes on serving after SIGTERM, in ms (default 5000, as the real server). */
  readonly lingerMs?: number;
  /** How many events a live subscriber may lag behind while it doesn't read (default 1024). */
  readonly liveBuffer?: number;
}

/** What a node last said of itself. A frozen one says nothing new. */
export interface NodeState {
  readonly role: 'candidate' | 'follower' | 'leader';
  /** Does it serve clients? */
  readonly isReady: boolean;
  readonly epoch: number;
}

type Message = { readonly port: number } | NodeState;

/** A stand-in for an EventStoreDB node, in a process of its own, on loopback. */
export class EventStoreNode {
  /** Emits `state` at each change of it, and `ended` with the exit code when the process ends by itself. */
  readonly events = new EventEmitter();
  state: NodeState | undefined;
  private child: ChildProcess | undefined;
  private exited: Promise<number | null> = Promise.resolve(null);
  private isEndWished = false;

  /** `args`: of server.mjs. */
  constructor(
    public port: number,
    private readonly args: readonly string[],
  ) {}

  /** What a client connects to. */
  get url(): string {
    return `esdb://127.0.0.1:${this.port}?tls=false`;
  }

  /** Starts the process, again on the same port and file; it must have ended. Resolves when it listens, or is ended. */
  async restart(): Promise<void> {
    const child = spawn(process.execPath, [PROGRAM, ...this.args, '--port', String(this.port)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    this.child = child;
    this.isEndWished = false;
    this.exited = once(child, 'exit').then(([code]) => {
      process.off('exit', kill);
      this.state = undefined;
      if (!this.isEndWished) this.events.emit('ended', code);
      return code as number | null;
    });
    const listening = new Promise<number>((resolve) => {
      child.on('message', (message: Message) => {
        if ('port' in message) resolve(message.port);
        else this.heed(message);
      });
    });
    const ended = this.exited.then((code) => {
      if (!this.isEndWished) throw new Error(`The event store ended with ${code} before it listened`);
      return this.port;
    });
    this.port = await Promise.race([listening, ended]);
  }

  /** `kill -9`; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.isEndWished = true;
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  /** Lets the process say nothing any more, its connections open (SIGSTOP). */
  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  /** Lets a frozen process go on. */
  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  /** Cuts the node off from the others of its cluster, not from its clients. */
  isolate(): void {
    this.child?.send({ isIsolated: true });
  }

  /** Ends `isolate`. */
  reconnect(): void {
    this.child?.send({ isIsolated: false });
  }

  /** SIGTERM; resolves with the exit code when the process has ended. */
  async terminate(): Promise<number | null> {
    this.isEndWished = true;
    this.child?.kill('SIGTERM');
    return this.exited;
  }

  private heed(state: NodeState): void {
    this.state = state;
    this.events.emit('state');
  }
}

/** A node on its own, which `stop()` ends for good. */
export class EventStore extends EventStoreNode {
  private constructor(
    port: number,
    args: readonly string[],
    private readonly remove: () => void,
  ) {
    super(port, args);
  }

  static async start({ file, port = 0, lingerMs, liveBuffer }: EventStoreOptions = {}): Promise<EventStore> {
    const directory = file === undefined ? mkdtempSync(join(tmpdir(), 'event-store-')) : undefined;
    const args = ['--file', file ?? join(directory ?? '', 'events.jsonl')];
    if (lingerMs !== undefined) args.push('--linger-ms', String(lingerMs));
    if (liveBuffer !== undefined) args.push('--live-buffer', String(liveBuffer));
    const store = new EventStore(port, args, () => {
      if (directory !== undefined) rmSync(directory, { recursive: true });
    });
    await store.restart();
    return store;
  }

  /** Ends the process, and removes its file where it was made for it. */
  async stop(): Promise<void> {
    await this.kill();
    this.remove();
  }
}

/** Resolves when the store serves. */
export const startEventStore = (options?: EventStoreOptions): Promise<EventStore> => EventStore.start(options);
