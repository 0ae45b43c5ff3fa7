const SAMPLE_EVERY_MS = 250;
const SAMPLE_CPU_MS = 10;

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/**
 * Measures how busy the machine is: how long a busy loop takes by the wall clock per CPU time that it gets. A limit for
 * a duration that is multiplied by `slowdown` does not depend on what else the machine does.
 */
export class LoadMeter {
  private wall = 0;
  private cpu = 0;
  private readonly timer = setInterval(() => {
    this.sample();
  }, SAMPLE_EVERY_MS);

  /** Starts to measure. Call `stop` at the end. */
  constructor() {
    this.timer.unref();
  }

  /** How many times longer a computation has taken since the start than on an idle machine. At least 1. */
  get slowdown(): number {
    this.sample();
    return Math.max(1, this.wall / this.cpu);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    const [wallBefore, cpuBefore] = [performance.now(), cpuMs()];
    let used = 0;
    while (used < SAMPLE_CPU_MS) used = cpuMs() - cpuBefore;
    this.wall += performance.now() - wallBefore;
    this.cpu += used;
  }
}

/**
 * Resolves with the time that `work` has taken, in ms, divided by the slowdown of the machine meanwhile: about the time
 * that it takes on an idle machine.
 */
export async function idleMs(work: () => Promise<unknown>): Promise<number> {
  const meter = new LoadMeter();
  const startedAt = performance.now();
  try {
    await work();
    return (performance.now() - startedAt) / meter.slowdown;
  } finally {
    meter.stop();
  }
}
