export {
  EVIDENCE_MEDIA_TYPE,
  evidenceFiles,
  evidenceJson,
  type EvidenceParts,
  manifestOf,
  type ProvenEvent,
  statementText,
  type StreamStatement,
} from './evidence-bundle.js';
export { EMPTY_ROOT, HASH_BYTES, leafHash, nodeHash } from './merkle-hash.js';
export { consistencyProof, inclusionProof, NoSuchProof, type ReadTile, rootOf } from './proofs.js';
export {
  cosign,
  isKeyName,
  isOfKey,
  isSignatureOf,
  KEY_TYPE,
  keyIdOf,
  type KeyType,
  type NoteKey,
  noteOf,
  type NoteSignature,
  parseNote,
  publicKeyBytes,
  signText,
  vkeyOf,
} from './signed-note.js';
export {
  type EntryBundle,
  entryBundleBytes,
  entryBundlePath,
  hashesIn,
  parseTilePath,
  type Tile,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from './tile.js';
export { consistencyBody, tlogProof } from './tlog-proof.js';
export { type FullTile, TreeEdge } from './tree-edge.js';
export { parseTreeHeadText, type TreeHead, treeHeadText } from './tree-head.js';
