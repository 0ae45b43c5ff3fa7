import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

const SERVERS = '0';
const pin = (pid, cores) =>
  spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)], { stdio: 'ignore' }).status === 0;

/** Leaves the first core to the servers that are measured. False where there is but one, or no `taskset`. */
export function leaveOneCore() {
  const last = availableParallelism() - 1;
  return last > 0 && pin(process.pid, `1-${last}`);
}

/** A server with all its threads on the first core, alone but for those that idle meanwhile. */
export const giveOneCore = ({ pid }) => pin(pid, SERVERS);
