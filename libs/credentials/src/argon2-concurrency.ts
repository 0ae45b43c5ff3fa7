import { availableParallelism } from 'node:os';

/**
 * Argon2 runs on libuv's threads (4, or `UV_THREADPOOL_SIZE`), as files and DNS do: one queue takes half of them at
 * most, so minting and verifying never wait for each other.
 */
export const argon2Concurrency = (): number => {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || 4;
  return Math.max(1, Math.min(availableParallelism(), Math.floor(threads / 2)));
};
