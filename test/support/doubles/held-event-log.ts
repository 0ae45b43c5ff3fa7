import { type EventLog, type LogBatch, LogUnavailable, QUARANTINES_STREAM } from '#event-log';

/** A gate that a test can close. While the gate is closed, `pass` doesn't resolve. */
class Gate {
  private opened = Promise.resolve();
  private open: (() => void) | undefined;
  waiting = 0;

  close(): void {
    if (this.open) return;
    this.opened = new Promise((resolve) => (this.open = resolve));
  }

  letThrough(): void {
    this.open?.();
    this.open = undefined;
  }

  async pass(): Promise<void> {
    this.waiting += 1;
    await this.opened;
    this.waiting -= 1;
  }
}

/** A real event log for tests. A test can hold back the results of reads, and break subscriptions. */
export class HeldEventLog implements EventLog {
  /**
   * Holds back the results of `readStream`, except looks for quarantines. The events are read before the gate, so the
   * events may be outdated when the gate opens.
   */
  readonly reads = new Gate();
  /**
   * Holds back the batches of subscriptions. A batch is read before the gate, so the batch may be outdated when the
   * gate opens.
   */
  readonly batches = new Gate();
  /** If true, reads and new subscriptions throw `LogUnavailable`. */
  unreachable = false;
  subscriptions = 0;
  readonly streamsRead: string[] = [];
  private cut = new AbortController();

  constructor(private readonly log: EventLog) {}

  get sealHoldsAfterMs(): number {
    return this.log.sealHoldsAfterMs;
  }

  get missingHistory() {
    return this.log.missingHistory;
  }

  get restored() {
    return this.log.restored;
  }

  get connectionEpoch(): number {
    return this.log.connectionEpoch;
  }

  get clockSkewMs(): number {
    return this.log.clockSkewMs;
  }

  get clockBehindMs(): number {
    return this.log.clockBehindMs;
  }

  get snapshots() {
    return this.log.snapshots;
  }

  async readStream(...args: Parameters<EventLog['readStream']>) {
    this.requireReachable();
    this.streamsRead.push(args[0]);
    const events = await this.log.readStream(...args);
    if (args[0] !== QUARANTINES_STREAM) await this.reads.pass();
    return events;
  }

  readAll(...args: Parameters<EventLog['readAll']>) {
    this.requireReachable();
    return this.log.readAll(...args);
  }

  eventAt(...args: Parameters<EventLog['eventAt']>) {
    this.requireReachable();
    return this.log.eventAt(...args);
  }

  end() {
    this.requireReachable();
    return this.log.end();
  }

  async *subscribe(options: Parameters<EventLog['subscribe']>[0]): AsyncGenerator<LogBatch> {
    this.requireReachable();
    this.subscriptions += 1;
    const { signal: cut } = this.cut;
    const signal = AbortSignal.any([options.signal, cut]);
    const over = aborted(signal);
    for await (const batch of this.log.subscribe({ ...options, signal })) {
      await Promise.race([this.batches.pass(), over]);
      if (signal.aborted) break;
      yield batch;
    }
    if (cut.aborted) throw new LogUnavailable('The connection was cut');
  }

  /** Breaks every open subscription with `LogUnavailable`. */
  cutSubscriptions(): void {
    this.cut.abort();
    this.cut = new AbortController();
  }

  append(...args: Parameters<EventLog['append']>) {
    return this.log.append(...args);
  }

  mark(): Promise<void> {
    return this.log.mark();
  }

  rememberNewest(): Promise<void> {
    return this.log.rememberNewest();
  }

  findCuts(signal?: AbortSignal) {
    return this.log.findCuts(signal);
  }

  watchCuts(...args: Parameters<EventLog['watchCuts']>) {
    return this.log.watchCuts(...args);
  }

  close(): Promise<void> {
    return this.log.close();
  }

  private requireReachable(): void {
    if (this.unreachable) throw new LogUnavailable('There is no connection');
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
