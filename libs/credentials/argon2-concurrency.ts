import { availableParallelism } from 'node:os';

/**
 * Maximum number of Argon2 runs (computations of the password hash) that one queue makes at once. Argon2 shares
 * libuv's threads (4, or `UV_THREADPOOL_SIZE`) with file and DNS calls. Each of the two queues (minting, verifying)
 * takes at most half of the threads, so the two queues never block each other.
 */
export const argon2Concurrency = (): number => {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || 4;
  return Math.max(1, Math.min(availableParallelism(), Math.floor(threads / 2)));
};
