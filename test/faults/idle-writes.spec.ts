import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Standalone } from '../support/processes/standalone.js';

/** A thread wakes another thread by a write of 8 bytes to a counter in memory (`eventfd`). Garbage collection does so. */
const BYTES_OF_WAKE_UP = 8;

/**
 * Number of bytes that the process has written so far: `handed` to the kernel by write calls, and `stored` in pages of
 * files on a disk. The kernel counts wake-ups of threads as writes, too, so `handed` leaves out 8 bytes of each call.
 */
const bytesWritten = (pid: number): Record<'handed' | 'stored', number> => {
  const counters = readFileSync(`/proc/${pid}/io`, 'utf8');
  const counter = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(counters)?.[1]);
  return { handed: counter('wchar') - BYTES_OF_WAKE_UP * counter('syscw'), stored: counter('write_bytes') };
};

const OBSERVED_SECONDS = 20;
const MOST_BYTES_A_MINUTE = 50_000;

it('an idle standalone writes at most 50 KB a minute', async () => {
  const standalone = await Standalone.startReady();
  try {
    const before = bytesWritten(standalone.pid);
    await delay(OBSERVED_SECONDS * 1_000);
    const after = bytesWritten(standalone.pid);
    const perMinute = (bytes: number) => bytes * (60 / OBSERVED_SECONDS);
    expect(before.handed).toBeGreaterThan(MOST_BYTES_A_MINUTE);
    expect(perMinute(after.handed - before.handed)).toBeLessThanOrEqual(MOST_BYTES_A_MINUTE);
    expect(perMinute(after.stored - before.stored)).toBeLessThanOrEqual(MOST_BYTES_A_MINUTE);
  } finally {
    await standalone.stop();
  }
});
