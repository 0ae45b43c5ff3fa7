import type { ChildProcess } from 'node:child_process';

export type ProgramName = 'standalone' | 'management' | 'auth' | 'projector';
export type Environment = Readonly<Record<string, string>>;

export interface LaunchOptions {
  /**
   * The environment of the program, in addition to `PATH`, `PORT=0` (a free port) and `SHUTDOWN_GRACE_MS=0`. The program
   * inherits no other variables.
   */
  readonly env?: Environment;
  /**
   * A command with its arguments that runs the program and keeps the program's process id, for example `strace -D …`.
   */
  readonly under?: readonly string[] | undefined;
  /** The folder of another release, whose `dist` is run instead of this repository's `dist`. */
  readonly release?: string | undefined;
  /**
   * With `inherit`, the program's stdout goes to the stdout of this process, and `output` doesn't contain the program's
   * stdout.
   */
  readonly stdout?: 'pipe' | 'inherit' | undefined;
}

type ProgramParts = [child: ChildProcess, exited: Promise<number | null>, url: string, output: () => string];

/** A built program of `apps/` that runs in its own process, on a free port. */
export class Program {
  constructor(...parts: ProgramParts);

  /**
   * Resolves when the program listens, even if the program hasn't reached its stores yet. If the program ends before
   * that, rejects with the program's output.
   */
  static launch<P extends Program>(
    this: new (...parts: ProgramParts) => P,
    name: ProgramName,
    options?: LaunchOptions,
  ): Promise<P>;

  /** Runs a program that ends by itself. Returns the exit code and what the program printed. */
  static runToEnd(
    name: ProgramName,
    options?: LaunchOptions,
  ): Promise<{ readonly code: number | null; readonly output: string }>;

  readonly child: ChildProcess;
  readonly url: string;
  /** Returns everything that the program has printed so far. */
  readonly output: () => string;
  get pid(): number;

  /**
   * Resolves when `/health/ready` reports that the program is ready. After `seconds` (default 120), throws an error that
   * contains the last response.
   */
  ready(seconds?: number): Promise<void>;

  /**
   * Resolves when the program has printed this. A line may arrive later than the answer to a request that came after it.
   * After `seconds` (default 120), throws an error that contains the program's output.
   */
  printed(what: string | RegExp, seconds?: number): Promise<void>;

  /** Kills the program (`kill -9`). Resolves when the program has ended. */
  kill(): Promise<void>;

  /**
   * Stops the program as an operator does (SIGTERM). Returns the exit code. If the program has already ended, only
   * returns its exit code.
   */
  stop(): Promise<number | null>;
}
