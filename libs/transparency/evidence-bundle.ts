import { createHash, hash } from 'node:crypto';
import { consistencyBody, tlogProof } from './tlog-proof.js';

/** The media type of a bundle's JSON form. */
export const EVIDENCE_MEDIA_TYPE = 'application/vnd.consumer-clients.evidence+json';

const EVIDENCE_FORMAT = 'consumer-clients/evidence@v1';
const LEAST_DIGITS = 3;

/** What the log says about the end of a stream. */
export interface StreamStatement {
  /** The origin of the log's heads: the same key may sign for several logs, and for a log under several origins. */
  readonly origin: string;
  readonly stream: string;
  readonly lastRevision: bigint;
  /** The chain hash of the stream's last event, in hex. */
  readonly lastHash: string;
  /** The size of the tree for which this is said: all later events are left out of account. */
  readonly treeSize: number;
  /** Whether the last event ends the stream, so that none will ever follow it. */
  readonly isEnded: boolean;
}

/** Returns the statement's text, which the log's key signs. */
export const statementText = ({ origin, stream, isEnded, ...end }: StreamStatement): string =>
  [
    ...['consumer-clients/statement@v1', origin, stream, end.lastRevision, end.lastHash, end.treeSize],
    `${isEnded ? 'ended' : 'live'}\n`,
  ].join('\n');

/** An event of the stream, with the proof that it is in the tree of the head. */
export interface ProvenEvent {
  /** The text that was hashed: the RFC 8785 form of the redacted event. */
  readonly hashedForm: string;
  readonly leafIndex: number;
  /** The inclusion proof at the head's own size, the leaf's sibling first. */
  readonly proof: readonly Uint8Array[];
}

/** The parts of the evidence about one stream. */
export interface EvidenceParts {
  /** All events of the stream that are in the tree, from revision 0 on: at least one. */
  readonly events: readonly ProvenEvent[];
  /** The signed tree head, a note. */
  readonly head: string;
  /** The signed statement, a note. */
  readonly statement: string;
  /** The log's and its witnesses' public keys, as a C2SP tlog-policy: for people. */
  readonly policy?: string;
  /** The proof that the tree extends the one of `oldSize` leaves, which the reader has seen. */
  readonly consistency?: { readonly oldSize: number; readonly proof: readonly Uint8Array[] };
}

/**
 * Returns the files of a bundle by their names, as docs/evidence.md specifies them. Throws `RangeError` if there are no
 * events.
 */
export function evidenceFiles({
  events,
  head,
  statement,
  policy,
  consistency,
}: EvidenceParts): Map<string, Uint8Array> {
  if (events.length === 0) throw new RangeError('A stream without events can have no evidence');
  const files = new Map<string, Uint8Array>([['checkpoint', Buffer.from(head)]]);
  if (consistency) {
    files.set('consistency', Buffer.from(consistencyBody(consistency.oldSize, consistency.proof, head)));
  }
  const digits = Math.max(LEAST_DIGITS, String(events.length - 1).length);
  for (const [revision, { hashedForm, leafIndex, proof }] of events.entries()) {
    const name = `events/${String(revision).padStart(digits, '0')}`;
    files.set(`${name}.json`, Buffer.from(hashedForm));
    files.set(`${name}.leaf`, hash('sha256', hashedForm, 'buffer'));
    files.set(`${name}.tlog-proof`, Buffer.from(tlogProof(leafIndex, proof, head)));
  }
  if (policy !== undefined) files.set('policy', Buffer.from(policy));
  files.set('statement.note', Buffer.from(statement));
  files.set('MANIFEST', Buffer.from(manifestOf(files)));
  return files;
}

/** Returns a line for each file, as `sha256sum` writes it. */
export const manifestOf = (files: ReadonlyMap<string, Uint8Array>): string =>
  [...files].map(([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`).join('');

/** Returns the JSON form of a bundle. */
export const evidenceJson = (files: ReadonlyMap<string, Uint8Array>): string =>
  JSON.stringify({
    format: EVIDENCE_FORMAT,
    files: Object.fromEntries(
      [...files].map(([name, bytes]) => [
        name,
        Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(name.endsWith('.leaf') ? 'base64' : 'utf8'),
      ]),
    ),
  });
