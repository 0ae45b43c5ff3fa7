import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** The outcome of an append in the other process. */
export interface ProcessOutcome {
  readonly stream: string;
  readonly revision?: string;
  readonly position?: string;
  /** The time of the acknowledgement, in ms since 1970, with fractions. */
  readonly acknowledgedAt?: number;
  /** The name of the error, if the append failed. */
  readonly error?: string;
}

interface Message {
  readonly id?: number;
  readonly answer?: unknown;
  readonly acknowledged?: ProcessOutcome;
}

/** An SQLite event log in a separate process. A test can trace, limit or kill that process. */
export class EventLogProcess {
  private lastId = 0;

  private constructor(private readonly child: ChildProcess) {}

  /** Opens the log. `under` is a command with its arguments that runs the process, for example `strace …`. */
  static async open(file: string, under: readonly string[] = []): Promise<EventLogProcess> {
    const [command, ...args] = [...under, process.execPath, join(__dirname, 'event-log-child.js'), file];
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    await once(child, 'message');
    return new EventLogProcess(child);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Appends an event to each of the streams, all at the same time. An event has about `bytes` bytes. */
  append(streams: readonly string[], bytes = 300): Promise<ProcessOutcome[]> {
    return this.ask('append', { streams, bytes });
  }

  /** Appends an event to each of the streams, and ends the writer thread while the appends are running. */
  appendWhileWriterEnds(streams: readonly string[], bytes = 300): Promise<ProcessOutcome[]> {
    return this.ask('appendWhileWriterEnds', { streams, bytes });
  }

  /**
   * Appends without pause until `count` appends have been acknowledged, then kills the process. Returns all
   * acknowledged appends.
   */
  async killWhileAppending(prefix: string, callers: number, count: number): Promise<ProcessOutcome[]> {
    const acknowledged: ProcessOutcome[] = [];
    this.child.on('message', (message: Message) => {
      if (message.acknowledged) acknowledged.push(message.acknowledged);
      if (acknowledged.length === count) this.child.kill('SIGKILL');
    });
    this.child.send({ task: 'appendForever', input: { prefix, callers } });
    await once(this.child, 'exit');
    return acknowledged;
  }

  async close(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.send({ task: 'close' });
    await exited;
  }

  private async ask(task: string, input: unknown): Promise<ProcessOutcome[]> {
    const id = ++this.lastId;
    const answered = new Promise<ProcessOutcome[]>((resolve) => {
      const listen = (message: Message) => {
        if (message.id !== id) return;
        this.child.off('message', listen);
        resolve(message.answer as ProcessOutcome[]);
      };
      this.child.on('message', listen);
    });
    this.child.send({ id, task, input });
    return answered;
  }
}
