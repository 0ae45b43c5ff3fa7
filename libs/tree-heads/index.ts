export { EvidenceTooLarge, NoSuchTile, NoTreeHead, NotYetInHead, SinceBeyondHead, TreeHeadsRefused } from './errors.js';
export { LogKeyRing, noteKeyOf } from './log-key-ring.js';
export { firstOrigin } from './origin.js';
export { policyText } from './policy.js';
export { type EvidenceQuestion, type EvidenceSources, streamEvidence } from './stream-evidence.js';
export { goOnFromHead, startTreeOrigin } from './tree-head-adoption.js';
export { findTreeHead, type LastTreeHead, readLastTreeHead, type SignedHead } from './tree-head-record.js';
export { TreeHeadSigner, type TreeHeadSignerOptions } from './tree-head-signer.js';
export { type Leaf, TreeReader } from './tree-reader.js';
