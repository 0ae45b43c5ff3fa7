export { type Adoption, adoptLog, readAdoptions } from './adoptions.js';
export { serialiseAppend, type SerialisedEvent, sizeOf } from './append-checks.js';
export { type Basis, type EventPlace, isWithin, placeOf } from './basis.js';
export { type BookOfRecord, type ConsumerClients, openBookOfRecord, type SigningKeys } from './book-of-record.js';
export type { CallOptions } from './call-options.js';
export { CatchUpReader } from './catch-up-reader.js';
export { isClockBehind, LONG_AGO, type Moment, momentNow, msSince, requireCommonClock } from './clocks.js';
export type { CommandRequest, Executed, Previewed } from './command-executor.js';
export { type ConsistencyToken, formatConsistencyToken, parseConsistencyToken } from './consistency-token.js';
export {
  CheckpointMoved,
  ClockApart,
  EventTooLarge,
  ForeignEvent,
  HistoryMissing,
  LogDamaged,
  LogIsSealed,
  LogRefused,
  LogRestored,
  LogUnavailable,
  LogUnwritable,
  PreconditionFailed,
  ProjectionStopped,
  RebuildNeeded,
  RevisionConflict,
  StoreUnavailable,
  StreamIsQuarantined,
} from './errors.js';
export { type EventSelection, followed, type FollowedEvent, isSelected, isStreamOf } from './event-selection.js';
export { eventsToNow } from './events-to-now.js';
export type { ExpectedRevision } from './expected-revision.js';
export { canBeRead, concernsOneStream } from './failing-stream.js';
export {
  canGoOn,
  type Checkpoint,
  type CheckpointStore,
  follow,
  type FollowObserver,
  type FollowOptions,
  type FollowProgress,
  isNotFinal,
  isSameCheckpoint,
  verifyCheckpoint,
} from './follow.js';
export { internalContext } from './internal-context.js';
export { KeyedQueue } from './keyed-queue.js';
export { isLeaf } from './leaves.js';
export { applying, applyingUnlessLeftOut, LeftOutEvents } from './left-out-events.js';
export { identifyLog, readLogId, requireSameLog } from './log-id.js';
export { eventsMissing, MAX_REMEMBERED_STREAMS, MissingHistory, type StreamCut } from './missing-history.js';
export { readNamedFile } from './named-file.js';
export {
  EndedManagementTokens,
  endManagementToken,
  type OperatorsToken,
  readOperatorsTokens,
  recordAdministratorTokenRotation,
  recordManagementToken,
  recordSigningKeyOperation,
} from './operator-acts.js';
export {
  type Appended,
  type EventLog,
  type LogBatch,
  type LogReadOptions,
  MAX_APPEND_BYTES,
  type StreamReadOptions,
  type SubscribeOptions,
} from './port.js';
export {
  liftQuarantine,
  type Quarantine,
  QUARANTINE_HOLDS_AFTER_MS,
  Quarantines,
  type QuarantinesInForce,
  quarantineStream,
  readQuarantines,
  readQuarantinesAsOf,
} from './quarantines.js';
export { OpenOutages, type OutageObserver, pause, repeatUntilAborted, settledWithin } from './retry.js';
export { isSealed, isSealMarker, sealLog, sealOf, unsealLog } from './seal.js';
export { probeServers, type ServerAddress, type TlsSettings } from './server-probe.js';
export type { SnapshotStore } from './snapshot-store.js';
export { snapshotName } from './snapshots/snapshots.js';
export { becauseOf, reasonOf, SQLITE_SIDE_FILES, sqliteTrouble } from './sqlite-files.js';
export { LOOKS_HOLD_AFTER_MS } from './stream-looks.js';
export { type Folded, foldEvent, type PastState, type StreamState } from './stream-states.js';
export {
  ADOPTIONS_STREAM,
  canHoldCheckpoint,
  FIRST_STREAMS,
  isOurStream,
  isQuarantinable,
  isSealedBy,
  LOG_STREAM,
  OPERATOR_ACTS_STREAM,
  OUR_STREAM_PREFIXES,
  OUR_STREAMS,
  QUARANTINES_STREAM,
  type StreamPrefix,
  TREE_HEADS_STREAM,
} from './streams.js';
export { LOG_TIME_BUDGET_MS } from './time-budget.js';
export { unreadableEvent } from './unreadable-event.js';
