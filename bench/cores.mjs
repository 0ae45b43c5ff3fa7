import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

const SERVERS = '0';
const pin = (pid, cores) =>
  spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)], { stdio: 'ignore' }).status === 0;

/**
 * Moves this process off the first core, which is left to the measured servers. Returns false if there is only one core
 * or no `taskset`.
 */
export function leaveOneCore() {
  const last = availableParallelism() - 1;
  return last > 0 && pin(process.pid, `1-${last}`);
}

/**
 * Pins all threads of a server to the first core. Any other server on this core is idle while this server is measured.
 */
export const giveOneCore = ({ pid }) => pin(pid, SERVERS);
