import { type LaunchOptions, Program } from './program.js';

export interface StandaloneOptions extends Omit<LaunchOptions, 'release'> {
  /**
   * The data directory, which the caller keeps. If absent, the process gets a new directory, which `stop()` removes.
   */
  readonly dataDir?: string;
}

/**
 * A real standalone process (all apps in one) on a free port. The stores are embedded: their files are in the process's
 * data directory.
 */
export class Standalone extends Program {
  /** Resolves when the process listens. If the process ends before that, rejects with the process's output. */
  static start(options?: StandaloneOptions): Promise<Standalone>;

  /** Starts the process. Resolves when all read models of the process are served. */
  static startReady(options?: StandaloneOptions): Promise<Standalone>;

  readonly dataDir: string;
  get adminToken(): string;
}
