export { compareBuilds } from './builds/build-comparison.js';
export { BuildLease } from './builds/build-lease.js';
export { compareWithLog } from './builds/log-comparison.js';
export type { ManageBuild, ManagedBuild } from './builds/process-manager.js';
export { checkpointOf, type FeedOptions, Projector, type ProjectorStatus } from './builds/projector.js';
export { rebuild, type RebuildReport } from './builds/rebuild.js';
export { type ProjectionObserver, ServedProjection } from './builds/served-projection.js';
export { isPassed, spotCheck, SpotCheckFailed } from './builds/spot-check.js';
export type { DocumentSchema, FieldSchema } from './document-schema.js';
export {
  asError,
  BuildsDiffer,
  ForeignConsistencyToken,
  InvalidCursor,
  NotCaughtUp,
  NotReady,
  RebuildOvertaken,
} from './errors.js';
export { gramsIn, gramsOf } from './grams.js';
export { buildName, checkedField, parsedBuild } from './names.js';
export {
  type BuildInfo,
  type BuildName,
  type CollectionSchema,
  type DocumentWrite,
  type FieldValue,
  type GramIndex,
  type Lease,
  type Load,
  MAX_CANDIDATES,
  type PageQuery,
  type ProjectionVersion,
  type ReadStore,
  ReadStoreUnavailable,
  type StoredDocument,
  type View,
} from './port.js';
export { type ClientDocument, clients } from './projections/clients.js';
export { dayOf, type HistoryDocument, recordedEventOf, storedEventOf } from './projections/history.js';
export { type DocumentOf, foldInto, type Projection } from './projections/projection.js';
export { projections, readModels } from './projections/projections.js';
export { endOfPrefix, searchKey } from './projections/search-key.js';
export type { SubscriptionDocument } from './projections/subscriptions.js';
export { type TileDocument, tileId, tree } from './projections/tree.js';
export type { UsageDocument } from './projections/usage.js';
export { type ListQuery, ReadModelQueries, type ServedReadModel } from './read-model-queries.js';
