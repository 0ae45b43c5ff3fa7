export { canonicalJson, NotCanonical } from './canonical-json.js';
export type {
  CommandContext,
  EventMetadata,
  JsonObject,
  NewEvent,
  Position,
  RecordedEvent,
  Revision,
} from './envelope.js';
export { InvalidEvent, NotDuringUpgrade, UnknownEvent } from './errors.js';
export { type ChainLink, eventIdOf, FIRST_HASH, hashedForm, hashOf, seal, verifyChain } from './hash-chain.js';
export type { LogAdopted } from './log-adopted.js';
export type { LogSealed, LogUnsealed } from './log-seal.js';
export type { ManagementTokenIssued, OperatorAct, SigningKeyOperation } from './operator-acts.js';
export type { StreamQuarantined, StreamQuarantineLifted } from './quarantine.js';
export {
  currentVersion,
  EVENT_VERSIONS,
  type EventVersions,
  type LogEvent,
  type LogEventType,
  redact,
  requireWritable,
  storedVersions,
  upcast,
  type UpcastEvent,
  validate,
} from './registry.js';
export type { TreeHeadsEvent, TreeHeadSigned, TreeOriginStarted } from './tree-heads.js';
export {
  USAGE_OUTCOMES,
  type UsageEntry,
  type UsageOutcome,
  type UsageRecorded,
  usageStream,
} from './usage-recorded.js';
export { uuidV5 } from './uuid-v5.js';
