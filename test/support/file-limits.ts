import { spawnSync } from 'node:child_process';

const canLimit = process.env.CI === 'true' || spawnSync('prlimit', ['--version']).status === 0;
if (!canLimit) console.warn('SKIPPED: what files that may not grow lead to. Install prlimit (util-linux, on Linux).');

/** A test that keeps files from growing, by `prlimit`. With `CI=true` it is never left out. */
export const testWithFileLimits: jest.It = canLimit ? test : test.skip;
