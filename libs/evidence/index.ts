export { type BundleFiles, checkedFiles, EVIDENCE_FORMAT, LIMITS, parseBundle } from './bundle.js';
export { type FaultName, FAULTS, type ShortfallName, SHORTFALLS, UnreadableBundle, WrongArgument } from './faults.js';
export { type Trust, type TrustArguments, trustFrom } from './trust.js';
export { type Claim, type Verdict, verifyEvidence } from './verify-evidence.js';
