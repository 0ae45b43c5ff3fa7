import type { FollowedEvent } from '#event-log';
import type { BuildName } from '../port.js';

/**
 * The work of a process manager (code that reacts to events with commands) on one build, in the process that feeds the
 * build. The work runs beside the projector: the projector never waits for a command. So a command that fails delays
 * neither the build nor other commands.
 */
export interface ManagedBuild {
  /**
   * The projector calls this after the documents of a batch were written. MUST return at once. The same batch may come
   * again. A batch never comes if another process has written it, if it was written before the work began, or if it
   * filled a fresh build; then `caughtUp` comes after it. So a process manager MUST be able to find its work in the
   * documents of the build.
   */
  written(events: readonly FollowedEvent[]): void;
  /**
   * The projector calls this when the build holds every event of the log: once after the start, and once after each
   * interruption. The build MAY have no lists before the first call. MUST return at once.
   */
  caughtUp(): void;
  /** Resolves when the work has ended, after its signal has aborted. MUST NOT reject. */
  readonly ended: Promise<void>;
}

/** Begins the work on a build. The work goes on until the signal aborts. */
export type ManageBuild = (build: BuildName, signal: AbortSignal) => ManagedBuild;
