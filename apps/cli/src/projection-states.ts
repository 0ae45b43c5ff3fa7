import {
  applying,
  canHoldCheckpoint,
  type EventLog,
  followed,
  ProjectionStopped,
  readQuarantines,
  RebuildNeeded,
  verifyCheckpoint,
} from '#event-log';
import type { RecordedEvent } from '#events';
import { type BuildInfo, foldInto, type Projection, type ReadStore } from '#read-models';

/** How a build stands beside the log. */
export interface BuildState {
  readonly state: 'CURRENT' | 'BEHIND' | 'STOPPED' | 'REBUILD_NEEDED';
  /** Age of the oldest event that the build lacks, in seconds; `null` if the build is not of this log. */
  readonly lagSeconds: number | null;
  /** Why the build does not go on. */
  readonly reason?: string;
}

/** The stores of this environment. `logId` is the id of the log. */
export interface OpenStores {
  readonly log: EventLog;
  readonly logId: string;
  readonly store: ReadStore;
}

/**
 * Compares a build with the log. Tries the next event on the build's documents, and writes nothing. Throws
 * `LogUnavailable`, `ReadStoreUnavailable`.
 */
export async function stateOf(
  { log, logId, store }: OpenStores,
  projection: Projection,
  { build, checkpoint, served }: BuildInfo,
  now: Date,
): Promise<BuildState> {
  try {
    await verifyCheckpoint(projection.name, log, logId, checkpoint);
  } catch (error) {
    if (!(error instanceof RebuildNeeded)) throw error;
    return { state: 'REBUILD_NEEDED', lagSeconds: null, reason: error.message };
  }
  const next = await nextEvent(log, checkpoint);
  if (!next) return { state: 'CURRENT', lagSeconds: 0 };
  const behind = { state: 'BEHIND', lagSeconds: ageOf(next, now) } as const;
  try {
    await tryToApply(store, projection, build, next);
  } catch (error) {
    if (!(error instanceof ProjectionStopped)) throw error;
    return { ...behind, state: 'STOPPED', reason: error.message };
  }
  if (await store.lease(build)) return behind;
  return { ...behind, reason: served ? 'no projector works at it' : 'it is no longer fed' };
}

const PAGE = 100;

/**
 * Returns the first event that the build lacks. Leaves out those that projections pass over: what is quarantined, and
 * the streams that no checkpoint names.
 */
async function nextEvent(log: EventLog, checkpoint: BuildInfo['checkpoint']): Promise<RecordedEvent | undefined> {
  const quarantined = await readQuarantines(log);
  let after = checkpoint?.position;
  for (;;) {
    const from = after === undefined ? {} : { after };
    const events = await log.readAll({ ...from, limit: PAGE, consistency: 'strong' });
    const next = events.find(({ stream }) => canHoldCheckpoint(stream) && !quarantined.has(stream));
    if (next || events.length < PAGE) return next;
    after = events.at(-1)?.position;
  }
}

const ageOf = ({ metadata }: RecordedEvent, now: Date): number =>
  Math.max(0, Math.round((now.getTime() - Date.parse(metadata.occurredAt)) / 1000));

/** Throws `ProjectionStopped` if the projection can't apply the event, and `ReadStoreUnavailable`. */
async function tryToApply(
  store: ReadStore,
  projection: Projection,
  build: BuildInfo['build'],
  recorded: RecordedEvent,
): Promise<void> {
  const { name } = projection;
  const event = applying(name, recorded, () => followed(recorded));
  if (!event) return;
  const ids = applying(name, recorded, () => projection.documentsOf(event)) ?? [];
  const stored = new Map((await store.read(build, ids)).map((document) => [document.id, document]));
  applying(name, recorded, () => {
    for (const id of ids) foldInto(projection, stored.get(id), event, id);
  });
}
