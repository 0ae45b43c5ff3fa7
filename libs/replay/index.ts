export {
  type AssignmentAsOf,
  type ClientAsOf,
  clientAsOf,
  type CredentialAsOf,
  type IdentityAsOf,
  type ShownBasis,
} from './client-as-of.js';
export { type LoginAnswer, type LoginReason } from './login-answer.js';
export { findInstallationEvents, isInstallationStream } from './operators-history.js';
export { lastEventAt } from './past-moment.js';
export { type Change, type ChangedStream, CHANGES, diffOf } from './workspace-diff.js';
export { findEvents, type FoundEvents, type HistoryFilter, type HistoryQuestion } from './workspace-history.js';
