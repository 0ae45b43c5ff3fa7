import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type BookOfRecord, type EventLog, openBookOfRecord, type SnapshotStore } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';

/** The calls of a log, and of its snapshots, that take a round trip to a server, and for which a request waits. */
const CALLS: ReadonlySet<string | symbol> = new Set([
  ...['append', 'readStream', 'readAll', 'eventAt', 'end', 'mark'],
  ...['read', 'readPart'],
]);
/** Turns of the event loop in which code that has been answered makes its next calls. */
const TURNS = 10;

/** A real event log far away from the process that uses it. It counts the round trips that a request waits for. */
export class DistantEventLog {
  /** The log as the process sees it. Outside of `roundTrips`, it answers without delay. */
  readonly log: EventLog;
  /** The names of the calls that the last request of `roundTrips` has made. */
  called: string[] = [];
  private isFar = false;
  private calls = 0;
  private readonly executing = new Set<Promise<unknown>>();
  private held: (() => void)[] = [];
  private wake: (() => void) | undefined;

  constructor(near: EventLog) {
    this.log = this.farAway(near);
  }

  private farAway<Near extends object>(near: Near): Near {
    return new Proxy(near, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (name === 'snapshots') return this.farAway(value as SnapshotStore);
        if (typeof value !== 'function') return value;
        const call = value.bind(target) as (...args: readonly unknown[]) => unknown;
        return CALLS.has(name) ? (...args: readonly unknown[]) => this.send(String(name), () => call(...args)) : call;
      },
    });
  }

  /**
   * Carries out a request. The log executes each call at once, and holds the answers back until the request makes no
   * further call without one of them. Then all answers arrive together, which is one round trip.
   */
  async roundTrips(request: () => Promise<unknown>): Promise<number> {
    this.isFar = true;
    this.called = [];
    const state = { isAnswered: false };
    const answered = request().finally(() => {
      state.isAnswered = true;
      this.wake?.();
    });
    answered.catch(() => undefined); // The caller gets the error below.
    try {
      for (let count = 0; ; count++) {
        await this.untilHeld(state);
        if (state.isAnswered) {
          await answered;
          return count;
        }
        this.release();
      }
    } finally {
      this.isFar = false;
      this.release();
    }
  }

  private async send(name: string, call: () => unknown): Promise<unknown> {
    if (!this.isFar) return call();
    this.calls += 1;
    this.called.push(name);
    this.wake?.();
    const executed = Promise.resolve().then(call);
    const settled = executed.catch(() => undefined).finally(() => this.executing.delete(settled));
    this.executing.add(settled);
    await settled;
    await new Promise<void>((resolve) => this.held.push(resolve));
    return executed;
  }

  /** Resolves when all calls have been executed and no further call comes, or when the request is answered. */
  private async untilHeld(state: { readonly isAnswered: boolean }): Promise<void> {
    if (this.executing.size === 0 && this.held.length === 0 && !state.isAnswered) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    let before: number;
    do {
      before = this.calls;
      await Promise.all(this.executing);
      for (let left = TURNS; left > 0; left--) await turn();
    } while (this.calls !== before && !state.isAnswered);
  }

  private release(): void {
    const held = this.held;
    this.held = [];
    for (const answer of held) answer();
  }
}

/** Two nodes that use one log, in a new folder. */
export interface TwoNodes {
  readonly folder: string;
  /** The log as the first node sees it, which is far away from it. */
  readonly distant: DistantEventLog;
  readonly book: BookOfRecord;
  /** The book of the other node, which is near to the log. */
  readonly office: BookOfRecord;
  /** Closes the log and removes the folder. */
  end(): Promise<void>;
}

export async function startTwoNodes(): Promise<TwoNodes> {
  const folder = mkdtempSync(join(tmpdir(), 'two-nodes-'));
  const near = await openSqliteEventLog({ file: join(folder, 'events.db') });
  const distant = new DistantEventLog(near);
  const office = await openBookOfRecord(near, () => new Date());
  const book = await openBookOfRecord(distant.log, () => new Date());
  const end = async () => {
    await near.close();
    rmSync(folder, { recursive: true });
  };
  return { folder, distant, book, office, end };
}
