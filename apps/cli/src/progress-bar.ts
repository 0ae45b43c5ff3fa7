import { Presets, SingleBar } from 'cli-progress';

/** Work that takes longer than this shows its progress, in ms. */
export const LONG_WORK_MS = 2_000;

/** Shows progress on stderr: a bar on a terminal, otherwise one line per step. The command's result goes to stdout. */
export class ProgressBar {
  private readonly bar = new SingleBar(
    { format: '{bar} {percentage}% {step}, {detail}', stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  private step: string | undefined;
  private readonly began = performance.now();

  /** `afterMs`: shorter work shows nothing. */
  constructor(private readonly afterMs = 0) {}

  /** `done`: the completed share of the step, from 0 to 1. */
  show(step: string, done: number, detail: string): void {
    if (performance.now() - this.began < this.afterMs) return;
    const payload = { step, detail };
    if (this.step === undefined) this.bar.start(1, done, payload);
    else this.bar.update(done, payload);
    if (step !== this.step && !process.stderr.isTTY) console.error(`${step}, ${detail}`);
    this.step = step;
  }

  stop(): void {
    this.bar.stop();
  }
}
