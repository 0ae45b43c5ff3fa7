import type { ChildProcess } from 'node:child_process';

/** The state that a node has reported last. A frozen (paused) node reports nothing. */
export interface NodeState {
  readonly role: 'candidate' | 'follower' | 'leader';
  /** Whether the node serves clients. */
  readonly isReady: boolean;
  /** Of two nodes that call themselves leader, the one with the higher epoch was elected later. */
  readonly epoch: number;
}

/** How the process of a node is started and watched. */
export interface NodeProgram {
  /** Starts the process on this port. The stand-in takes a free port instead of port 0. */
  spawn(port: number): ChildProcess;
  /**
   * Reports each change of the node's state until the process ends. Resolves with the port when the process listens.
   */
  watch(child: ChildProcess, port: number, report: (state: NodeState) => void): Promise<number>;
  signal(child: ChildProcess, signal: NodeJS.Signals): void;
}
