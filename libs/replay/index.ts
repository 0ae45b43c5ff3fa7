export {
  accessReview,
  csvCell,
  REVIEW_COLUMNS,
  type ReviewFormat,
  type ReviewManifest,
  reviewManifest,
  type ReviewRow,
  reviewText,
} from './access-review.js';
export {
  type AssignmentAsOf,
  type ClientAsOf,
  clientAsOf,
  type CredentialAsOf,
  type IdentityAsOf,
  type ShownBasis,
} from './client-as-of.js';
export { couldCall, type Caller as PastCaller } from './could-call.js';
export { type Damage } from './damage.js';
export { type LoginAnswer, type LoginReason } from './login-answer.js';
export { findInstallationEvents, isInstallationStream } from './operators-history.js';
export { lastEventAt, type PastMoment, pastMomentOf, tokenUpTo } from './past-moment.js';
export { type Change, type ChangedStream, CHANGES, diffOf } from './workspace-diff.js';
export { findEvents, type FoundEvents, type HistoryFilter, type HistoryQuestion } from './workspace-history.js';
