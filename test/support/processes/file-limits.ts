import { spawnSync } from 'node:child_process';

const canLimit = process.env.CI === 'true' || spawnSync('prlimit', ['--version']).status === 0;
if (!canLimit) console.warn('SKIPPED: what files that may not grow lead to. Install prlimit (util-linux, on Linux).');

/**
 * A test that needs the program `prlimit`, which limits the size of files. If `prlimit` is not installed, the test is
 * skipped. With `CI=true`, the test is never skipped.
 */
export const testWithFileLimits: jest.It = canLimit ? test : test.skip;
