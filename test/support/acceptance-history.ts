/** What a call's goodness rests on until it is ended: a client, a credential, an assignment, a token … by name. */
export type Premise = string;

/** `unavailable`: neither; nothing was decided. */
export type Verdict = 'accepted' | 'refused' | 'unavailable';

export interface Decision {
  readonly verdict: Verdict;
  /** What the answer itself rests on besides what the call does: the token that it brought. */
  readonly premises?: readonly Premise[];
}

/** A call with the moments between which it was decided, in milliseconds of the caller's one monotonic clock. */
export interface Call extends Required<Decision> {
  readonly what: string;
  readonly beganAt: number;
  readonly endedAt: number;
}

interface Ending {
  readonly beganAt: number;
  acknowledgedAt: number;
}

/**
 * What callers and those who end premises saw of several nodes, for a decision on linearizability (Herlihy and Wing,
 * 1990). A premise is a register that goes from good to ended once; so no search for an order of the calls is needed:
 * the end took effect somewhere between its beginning and its acknowledgement, and each call somewhere between its own.
 */
export class AcceptanceHistory {
  readonly calls: Call[] = [];
  private readonly endings = new Map<Premise, Ending>();
  /** Told of each end right after its acknowledgement: calls that it makes then are late. */
  onEnded: (premise: Premise) => void = () => undefined;
  private readonly waiting = new Set<{ readonly calls: number; readonly resolve: () => void }>();

  /** Records the call. One that throws is none. */
  async call<D extends Decision>(what: string, premises: readonly Premise[], ask: () => Promise<D>): Promise<D> {
    const beganAt = performance.now();
    const decision = await ask();
    const all = [...premises, ...(decision.premises ?? [])];
    this.calls.push({ what, premises: all, verdict: decision.verdict, beganAt, endedAt: performance.now() });
    for (const waiter of this.waiting) {
      if (this.calls.length < waiter.calls) continue;
      this.waiting.delete(waiter);
      waiter.resolve();
    }
    return decision;
  }

  /** Records the end of a premise: acknowledged when `command` resolves. What has ended is not ended again. */
  async end<T>(premise: Premise, command: () => Promise<T>): Promise<T> {
    const ending = this.endings.get(premise) ?? { beganAt: performance.now(), acknowledgedAt: Infinity };
    this.endings.set(premise, ending);
    const done = await command();
    ending.acknowledgedAt = Math.min(ending.acknowledgedAt, performance.now());
    this.onEnded(premise);
    return done;
  }

  /** Resolves when so many more calls were recorded. */
  grown(by: number): Promise<void> {
    const calls = this.calls.length + by;
    return by === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.add({ calls, resolve }));
  }

  /** Ends that were acknowledged so far. */
  get ended(): number {
    return [...this.endings.values()].filter(({ acknowledgedAt }) => acknowledgedAt < Infinity).length;
  }

  /** Calls that began after the end of a premise of theirs was acknowledged: none of them may be accepted. */
  get late(): Call[] {
    return this.calls.filter((call) => this.latenessOf(call) > 0);
  }

  /** Accepted, though they began more than `boundMs` after the acknowledgement of what made them bad. */
  acceptedLate(boundMs = 0): Call[] {
    return this.calls.filter((call) => call.verdict === 'accepted' && this.latenessOf(call) > boundMs);
  }

  /** Refused, though no end of a premise of theirs had begun when they were answered. */
  refusedEarly(): Call[] {
    const wasBad = ({ premises, endedAt }: Call) =>
      premises.some((premise) => (this.endings.get(premise)?.beganAt ?? Infinity) < endedAt);
    return this.calls.filter((call) => call.verdict === 'refused' && !wasBad(call));
  }

  /**
   * For each acknowledged end that a call of this kind met, how long after it the last one began that was still
   * accepted: milliseconds, ascending.
   */
  denialDelays(what: string): number[] {
    const delays = new Map<Premise, number>();
    for (const call of this.calls) {
      if (call.what !== what) continue;
      for (const premise of call.premises) {
        const lateness = call.beganAt - (this.endings.get(premise)?.acknowledgedAt ?? Infinity);
        if (lateness <= 0) continue;
        const delay = call.verdict === 'accepted' ? lateness : 0;
        delays.set(premise, Math.max(delays.get(premise) ?? 0, delay));
      }
    }
    return [...delays.values()].sort((a, b) => a - b);
  }

  /** Milliseconds by which it began after the first such acknowledgement; 0 where it didn't. */
  private latenessOf({ premises, beganAt }: Call): number {
    const acknowledged = premises.map((premise) => this.endings.get(premise)?.acknowledgedAt ?? Infinity);
    return Math.max(0, beganAt - Math.min(Infinity, ...acknowledged));
  }
}
