// The stores of a thread that has no keys and shows no metrics. This file loads neither Argon2, nor what makes and checks
// tokens, nor the library for metrics.
export { findingsOf, type LogFindings, NO_FINDINGS } from './log-findings.js';
export { type PendingBook, pendingLog, type PendingReadStore, pendingReadStore } from './process-stores.js';
