import { Presets, SingleBar } from 'cli-progress';

/** How far a command has come: a bar on a terminal, one line a step elsewhere; on stderr, stdout is for the result. */
export class ProgressBar {
  private readonly bar = new SingleBar(
    { format: '{bar} {percentage}% {step}, {detail}', stream: process.stderr, hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  );
  private step: string | undefined;

  /** `done`: of the step, from 0 to 1. */
  show(step: string, done: number, detail: string): void {
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
