/**
 * The name of something on which a call depends: a client, a credential, a token … A call may be accepted only if none
 * of its premises has ended.
 */
export type Premise = string;

/** The result of a call. `unavailable` means that the service did not decide the call. */
export type Verdict = 'accepted' | 'refused' | 'unavailable';

export interface Decision {
  readonly verdict: Verdict;
  /** Premises (things on which the call depends) that are known only from the response: the token in the response. */
  readonly premises?: readonly Premise[];
}

/**
 * A call. The service decided the call at some time between `beganAt` and `endedAt`, in ms of this process's monotonic
 * clock.
 */
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
 * Records calls to several nodes while premises of these calls end. A premise is something on which a call depends,
 * such as a subscription. Decides whether the record is linearizable (Herlihy and Wing, 1990). Each premise is a
 * register that changes only once, from good to ended. So we need not search for a valid order of the calls. We only
 * use two facts: a premise ended between the start and the acknowledgement of the command that ends it, and a call was
 * decided between its beginning and its response.
 */
export class AcceptanceHistory {
  readonly calls: Call[] = [];
  private readonly endings = new Map<Premise, Ending>();
  /**
   * Called right after the end of a premise (something on which calls depend) was acknowledged. If this function makes
   * calls that depend on the premise, these calls must be refused.
   */
  onEnded: (premise: Premise) => void = () => undefined;
  private readonly waiting = new Set<{ readonly calls: number; readonly resolve: () => void }>();

  /** Makes a call with `ask`, and records the call unless `ask` throws. */
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

  /**
   * Ends a premise with `command`, and records the end. The end is acknowledged when `command` resolves. If several
   * commands end the same premise, only their earliest start and their earliest acknowledgement count.
   */
  async end<T>(premise: Premise, command: () => Promise<T>): Promise<T> {
    const ending = this.endings.get(premise) ?? { beganAt: performance.now(), acknowledgedAt: Infinity };
    this.endings.set(premise, ending);
    const done = await command();
    ending.acknowledgedAt = Math.min(ending.acknowledgedAt, performance.now());
    this.onEnded(premise);
    return done;
  }

  /** Resolves when `by` more calls have been recorded. */
  waitForCalls(by: number): Promise<void> {
    const calls = this.calls.length + by;
    return by === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.add({ calls, resolve }));
  }

  /** Number of premises (things on which calls depend) whose end has been acknowledged. */
  get ended(): number {
    return [...this.endings.values()].filter(({ acknowledgedAt }) => acknowledgedAt < Infinity).length;
  }

  /**
   * The calls that began although the end of something on which they depend (such as a client) had been acknowledged.
   * The service must not accept any of these calls.
   */
  get late(): Call[] {
    return this.calls.filter((call) => this.latenessOf(call) > 0);
  }

  /**
   * Returns the calls that were accepted although something on which they depend (such as a client) had ended. Only
   * calls that began more than `boundMs` after the acknowledgement of the end count.
   */
  acceptedLate(boundMs = 0): Call[] {
    return this.calls.filter((call) => call.verdict === 'accepted' && this.latenessOf(call) > boundMs);
  }

  /**
   * Returns the calls that were refused too early: when the response came, nothing that the call depends on (such as its
   * client or subscription) had ended, and no command that ends any of these had been sent.
   */
  refusedEarly(): Call[] {
    const wasBad = ({ premises, endedAt }: Call) =>
      premises.some((premise) => (this.endings.get(premise)?.beganAt ?? Infinity) < endedAt);
    return this.calls.filter((call) => call.verdict === 'refused' && !wasBad(call));
  }

  /**
   * Returns one delay in ms for each ended premise (something on which calls depend), in ascending order. Looks only at
   * calls named `what` that depend on the premise and began after its end was acknowledged. The delay is the time from
   * the acknowledgement to the beginning of the last accepted call, or 0 if no call was accepted. Premises without such
   * calls are left out.
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

  /**
   * Returns how long after the end of a premise (something on which the call depends, such as a subscription) the call
   * began, in ms. The time counts from the acknowledgement of the end. If several premises have ended, the earliest
   * acknowledgement counts. Returns 0 if the call began before that acknowledgement.
   */
  private latenessOf({ premises, beganAt }: Call): number {
    const acknowledged = premises.map((premise) => this.endings.get(premise)?.acknowledgedAt ?? Infinity);
    return Math.max(0, beganAt - Math.min(Infinity, ...acknowledged));
  }
}
