import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The wall clock of programs that are started with its `env`: `set` moves it, also while they run. */
export class ProgramClock {
  private readonly directory = mkdtempSync(join(tmpdir(), 'clock-'));
  private readonly file = join(this.directory, 'ahead');

  constructor() {
    this.set(0);
  }

  get env(): Record<string, string> {
    return { CLOCK_AHEAD_FILE: this.file, NODE_OPTIONS: `--require ${join(__dirname, 'preloaded-clock.js')}` };
  }

  /** Seconds that it is ahead of the true clock, or behind it where they are negative. */
  set(seconds: number): void {
    writeFileSync(this.file, String(seconds));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}
