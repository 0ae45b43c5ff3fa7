import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The wall clock of all programs that are started with this clock's `env`. `set` also moves the clock of programs that
 * are already running.
 */
export class ProgramClock {
  private readonly directory = mkdtempSync(join(tmpdir(), 'clock-'));
  private readonly file = join(this.directory, 'ahead');

  constructor() {
    this.set(0);
  }

  get env(): Record<string, string> {
    return { CLOCK_AHEAD_FILE: this.file, NODE_OPTIONS: `--require ${join(__dirname, 'preloaded-clock.js')}` };
  }

  /** Sets how many seconds the clock is ahead of the true time. A negative number puts the clock behind. */
  set(seconds: number): void {
    writeFileSync(this.file, String(seconds));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}
