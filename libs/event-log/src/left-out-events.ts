import type { Position, RecordedEvent } from '#events';
import { ProjectionStopped } from './errors.js';
import type { EventLog } from './port.js';
import { readQuarantines } from './quarantines.js';
import { isQuarantinable } from './streams.js';

type Place = Pick<RecordedEvent, 'stream' | 'position'>;
type NamedEvent = ConstructorParameters<typeof ProjectionStopped>[1];

/** The events that were left out, because they can't be applied and their streams are quarantined. */
export class LeftOutEvents {
  private quarantined: Pick<ReadonlySet<string>, 'has'> = new Set<string>();
  private readonly positions = new Set<Position>();

  constructor(private readonly log: EventLog) {}

  /** Notes an event that can't be applied. Returns `false` if its stream is not known to be quarantined. */
  note({ stream, position }: Place): boolean {
    if (!isQuarantinable(stream) || !this.quarantined.has(stream)) return false;
    this.positions.add(position);
    return true;
  }

  /** Reads what is quarantined, and notes the event. Returns `false` if its stream is not. Throws `LogUnavailable`. */
  async lookUp(event: Place): Promise<boolean> {
    if (isQuarantinable(event.stream)) this.quarantined = await readQuarantines(this.log);
    return this.note(event);
  }

  has({ position }: Pick<RecordedEvent, 'position'>): boolean {
    return this.positions.has(position);
  }

  /** Returns the events that were not left out. */
  without<E extends Pick<RecordedEvent, 'position'>>(events: readonly E[]): readonly E[] {
    return this.positions.size === 0 ? events : events.filter((event) => !this.has(event));
  }
}

/**
 * Runs `step` for one event. If `step` throws, returns `undefined` if the event is left out, and otherwise throws a
 * `ProjectionStopped` that names the event.
 */
export function applying<T>(name: string, event: NamedEvent, step: () => T, leftOut?: LeftOutEvents): T | undefined {
  try {
    return step();
  } catch (error) {
    if (leftOut?.note(event) === true) return undefined;
    throw new ProjectionStopped(name, event, error);
  }
}

/**
 * Runs `step` for one event, as `applying` does, and finds out whether the event's stream is quarantined. Throws
 * `ProjectionStopped`, `LogUnavailable`.
 */
export async function applyingUnlessLeftOut(
  leftOut: LeftOutEvents,
  name: string,
  event: NamedEvent,
  step: () => void,
): Promise<void> {
  try {
    applying(name, event, step, leftOut);
  } catch (error) {
    if (!(error instanceof ProjectionStopped) || !(await leftOut.lookUp(error))) throw error;
  }
}
