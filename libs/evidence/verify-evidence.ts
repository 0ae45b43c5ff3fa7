import { createHash } from 'node:crypto';
import { type BundleFiles, type EventFileNames, eventFileNames } from './bundle.js';
import { EvidenceFault, type FaultName, type ShortfallName } from './faults.js';
import { type HashedEvent, parseHashedEvent } from './hashed-event.js';
import { areEqual, isExtended, isIncluded } from './merkle-proof.js';
import { isOfHead, parseConsistency, parseInclusion } from './proof-files.js';
import { cosignedAt, isSigned, linesOf, type SignedNote, type TrustedKey } from './signed-note.js';
import { parseStatement } from './statement.js';
import { textOf, visible } from './text-forms.js';
import { parseTreeHead, type SignedTreeHead } from './tree-head.js';
import type { Trust } from './trust.js';

/** Something that the evidence proves. */
export interface Claim {
  readonly claim:
    'SIGNATURE' | 'TREE_HEAD' | 'EXTENDS' | 'EVENTS' | 'CHAIN' | 'STATEMENT' | 'COSIGNED' | 'POLICY' | 'AGE';
  /** One line for people. */
  readonly text: string;
}

export interface Verdict {
  /** `NOT_ENOUGH`: the evidence holds, but does not meet the caller's policy. */
  readonly result: 'HOLDS' | 'DOES_NOT_HOLD' | 'NOT_ENOUGH';
  /** The first fault. `file`: where it was found. */
  readonly fault?: { readonly name: FaultName; readonly file: string; readonly reason: string };
  readonly shortfall?: { readonly name: ShortfallName; readonly reason: string };
  /** What was proved before the first fault, if there is one. */
  readonly claims: readonly Claim[];
  /** One line for each thing that a reader might take for proved, and that is not. */
  readonly notProved: readonly string[];
}

/**
 * Verifies a bundle by docs/evidence.md, whose numbered checks are made in their order. No network and no key of the
 * bundle is used.
 */
export function verifyEvidence(files: BundleFiles, trust: Trust): Verdict {
  const verification = new Verification(files, trust);
  try {
    verification.run();
  } catch (error) {
    if (!(error instanceof EvidenceFault)) throw error;
    const { fault, file, message } = error;
    return {
      ...{ result: 'DOES_NOT_HOLD', fault: { name: fault, file, reason: message } },
      ...{ claims: verification.claims, notProved: ['whatever is not said above'] },
    };
  }
  const shortfall = verification.shortfall();
  const { claims, notProved } = verification;
  return shortfall ? { result: 'NOT_ENOUGH', shortfall, claims, notProved } : { result: 'HOLDS', claims, notProved };
}

/** The last event that was verified. `hash`: hex. */
interface LastEvent extends HashedEvent {
  readonly hash: string;
  readonly index: number;
}

interface Cosignature {
  readonly key: TrustedKey;
  readonly seconds: number;
}

const FIXED_FILES = ['MANIFEST', 'checkpoint', 'statement.note', 'consistency', 'policy'] as const;
const REQUIRED_FILES = FIXED_FILES.slice(0, 3);
const EVENT_FILE = /^events\/[0-9]+\.json$/;
const ENDING_TYPES: ReadonlySet<string> = new Set(['ConsumerClientRevoked', 'SubscriptionEnded']);
const FIRST_PREVIOUS_HASH = '0'.repeat(64);
const MAX_CLOCK_DIFFERENCE = 300;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

class Verification {
  readonly claims: Claim[] = [];
  readonly notProved: string[] = [];
  private cosignatures: readonly Cosignature[] = [];

  constructor(
    private readonly files: BundleFiles,
    private readonly trust: Trust,
  ) {}

  /** Checks 2 to 8. Throws `EvidenceFault`. */
  run(): void {
    const events = this.requireFiles();
    this.requireManifest(events);
    const head = this.verifiedHead();
    this.compareWithHeld(head);
    const last = this.verifyEvents(events, head);
    this.verifyStatement(last, events.length - 1, head);
    this.verifyCosignatures(head);
    this.nameUnknownFiles(events);
  }

  private file(name: string): Uint8Array {
    const bytes = this.files.get(name);
    if (!bytes) throw new EvidenceFault('FILE_MISSING', name, 'it is not in the bundle');
    return bytes;
  }

  private prove(claim: Claim['claim'], text: string): void {
    this.claims.push({ claim, text: visible(text) });
  }

  private leave(...unproved: string[]): void {
    this.notProved.push(...unproved.map(visible));
  }

  /** Check 2. Returns the names of the events' files. */
  private requireFiles(): EventFileNames[] {
    for (const name of REQUIRED_FILES) this.file(name);
    let count = 0;
    for (const name of this.files.keys()) if (EVENT_FILE.test(name)) count++;
    const digits = Math.max(3, String(count - 1).length);
    const events = Array.from({ length: Math.max(1, count) }, (_, revision) => eventFileNames(revision, digits));
    const expected = new Set(events.flatMap((names) => Object.values(names) as string[]));
    for (const name of expected) this.file(name);
    for (const name of this.files.keys()) {
      if (!name.startsWith('events/') || expected.has(name)) continue;
      throw new EvidenceFault('FILE_UNEXPECTED', name, 'it belongs to no event of the bundle');
    }
    return events;
  }

  /** Check 3. */
  private requireManifest(events: readonly EventFileNames[]): void {
    const mismatch = (reason: string) => new EvidenceFault('MANIFEST_MISMATCH', 'MANIFEST', reason);
    const text = textOf(this.file('MANIFEST'));
    if (!text?.endsWith('\n')) throw mismatch('it is not lines of text');
    const listed = new Set<string>();
    for (const line of text.slice(0, -1).split('\n')) {
      const [, hash, name = ''] = /^([0-9a-f]{64}) {2}(.*)$/su.exec(line) ?? [];
      const bytes = this.files.get(name);
      if (hash === undefined || listed.has(name) || name === 'MANIFEST' || !bytes) {
        throw mismatch(`this line is wrong, or names no file once: ${JSON.stringify(line)}`);
      }
      if (sha256(bytes).toString('hex') !== hash) throw mismatch(`${name} has another hash`);
      listed.add(name);
    }
    const known = [...FIXED_FILES.slice(1), ...events.flatMap((names) => Object.values(names) as string[])];
    const unlisted = known.find((name) => this.files.has(name) && !listed.has(name));
    if (unlisted !== undefined) throw mismatch(`it does not name ${unlisted}`);
  }

  /** Check 4. */
  private verifiedHead(): SignedTreeHead {
    const { logKey } = this.trust;
    const fault = (name: FaultName, reason: string) => new EvidenceFault(name, 'checkpoint', reason);
    const head = parseTreeHead(this.file('checkpoint'));
    if (!head) throw fault('HEAD_MALFORMED', 'it is no tree head');
    if (head.origin !== logKey.name) throw fault('HEAD_OF_ANOTHER_LOG', `it is a head of ${head.origin}`);
    this.requireSigned(head.note, 'HEAD', 'checkpoint');
    this.prove('SIGNATURE', `the tree head is signed by the key that you gave, ${logKey.vkey}`);
    this.prove('TREE_HEAD', `${head.origin}, size ${head.size}, root ${Buffer.from(head.root).toString('hex')}`);
    return head;
  }

  private requireSigned({ text, ...rest }: SignedNote, subject: 'HEAD' | 'STATEMENT', file: string): void {
    const { logKey } = this.trust;
    const lines = linesOf({ text, ...rest }, logKey);
    if (lines.length === 0)
      throw new EvidenceFault(`${subject}_NOT_SIGNED`, file, 'no line is of the key that you gave');
    if (lines.every((line) => isSigned(line, text, logKey))) return;
    throw new EvidenceFault(`${subject}_SIGNATURE_WRONG`, file, 'the signature is not that of the key over this text');
  }

  /** Check 5. */
  private compareWithHeld(head: SignedTreeHead): void {
    const { since } = this.trust;
    if (!since) {
      this.leave('that this tree extends one that you know: you gave no earlier head');
      return;
    }
    const [had, has] = [`your head of size ${since.size}`, `the bundle's of size ${head.size}`];
    const of = (file: string) => (name: FaultName, reason: string) => new EvidenceFault(name, file, reason);
    if (since.size > head.size) throw of('checkpoint')('ROLLED_BACK', `${had} is newer than ${has}`);
    if (since.size === head.size) {
      if (!areEqual(since.root, head.root))
        throw of('checkpoint')('SECOND_ROOT', `${had} has another root than ${has}`);
    } else {
      const fault = of('consistency');
      const bytes = this.files.get('consistency');
      if (!bytes) throw fault('CONSISTENCY_MISSING', `nothing proves that ${has} extends ${had}`);
      const proof = parseConsistency(bytes);
      if (!proof) throw fault('CONSISTENCY_MALFORMED', 'it is no proof of consistency');
      if (proof.number !== since.size) throw fault('CONSISTENCY_OF_ANOTHER_SIZE', `it begins at size ${proof.number}`);
      if (!isOfHead(proof, head)) throw fault('CONSISTENCY_OF_ANOTHER_HEAD', 'it ends with another head');
      if (!isExtended(since, head, proof.hashes)) throw fault('CONSISTENCY_WRONG', `${has} does not extend ${had}`);
    }
    this.prove('EXTENDS', `this head extends ${had}`);
  }

  /** Check 6. Returns the last event. */
  private verifyEvents(names: readonly EventFileNames[], head: SignedTreeHead): LastEvent {
    let last: LastEvent | undefined;
    let first: LastEvent | undefined;
    const indexes: number[] = [];
    for (const [revision, each] of names.entries()) {
      last = this.verifiedEvent(revision, each, head, last);
      first ??= last;
      indexes.push(last.index);
    }
    if (!last || !first) throw new Error('A bundle without events was let through');
    this.prove('EVENTS', `${names.length} of ${last.stream} in the tree, at ${listed(indexes)}`);
    const times = `${first.occurredAt} to ${last.occurredAt} by the log's word`;
    this.prove('CHAIN', `whole from revision 0 to ${names.length - 1} (${times}), last hash ${last.hash}`);
    return last;
  }

  private verifiedEvent(
    revision: number,
    names: EventFileNames,
    head: SignedTreeHead,
    before: LastEvent | undefined,
  ): LastEvent {
    const fault = (name: FaultName, reason: string, file = names.json) => new EvidenceFault(name, file, reason);
    const bytes = this.file(names.json);
    const leaf = this.file(names.leaf);
    const digest = sha256(bytes);
    if (!areEqual(leaf, digest)) throw fault('LEAF_MISMATCH', 'the leaf is not the hash of the event');
    const event = parseHashedEvent(bytes);
    if (!event) throw fault('EVENT_MALFORMED', 'it is not the RFC 8785 form of an event');
    const { clientId } = this.trust;
    const stream = before?.stream ?? (clientId === undefined ? event.stream : `consumerClient-${clientId}`);
    if (event.stream !== stream)
      throw fault('EVENT_OF_ANOTHER_STREAM', `it is one of ${event.stream}, not of ${stream}`);
    if (event.revision !== String(revision)) throw fault('REVISION_GAP', `it is revision ${event.revision}`);
    if (event.previousHash !== (before?.hash ?? FIRST_PREVIOUS_HASH)) {
      throw fault('CHAIN_BROKEN', 'its previousHash is not the hash of the event before it');
    }
    if (before && ENDING_TYPES.has(before.type)) throw fault('EVENT_AFTER_END', `it follows ${before.type}`);
    const proof = parseInclusion(this.file(names.proof));
    if (!proof) throw fault('PROOF_MALFORMED', 'it is no proof of inclusion', names.proof);
    if (!isOfHead(proof, head)) throw fault('PROOF_OF_ANOTHER_HEAD', 'it ends with another head', names.proof);
    const index = proof.number;
    if (before && index <= before.index) {
      throw fault('INDEX_OUT_OF_ORDER', `leaf ${index} does not come after leaf ${before.index}`, names.proof);
    }
    if (!isIncluded(leaf, index, proof.hashes, head)) {
      throw fault('INCLUSION_WRONG', `it does not show that the event is leaf ${index} of the tree`, names.proof);
    }
    return { ...event, hash: digest.toString('hex'), index };
  }

  /** Check 7. */
  private verifyStatement(
    { stream, hash, type }: LastEvent,
    lastRevision: number,
    { origin, size }: SignedTreeHead,
  ): void {
    const fault = (name: FaultName, reason: string) => new EvidenceFault(name, 'statement.note', reason);
    const statement = parseStatement(this.file('statement.note'));
    if (!statement) throw fault('STATEMENT_MALFORMED', 'it is no statement');
    this.requireSigned(statement.note, 'STATEMENT', 'statement.note');
    if (statement.origin !== origin) throw fault('STATEMENT_OF_ANOTHER_LOG', `it speaks for ${statement.origin}`);
    if (statement.stream !== stream) throw fault('STATEMENT_OF_ANOTHER_STREAM', `it speaks of ${statement.stream}`);
    if (statement.treeSize !== size) {
      throw fault('STATEMENT_OF_ANOTHER_HEAD', `it speaks of a tree of size ${statement.treeSize}`);
    }
    const said = `that revision ${statement.lastRevision} is the last one`;
    if (statement.lastRevision > lastRevision) throw fault('EVENTS_LEFT_OUT', `the log says ${said}`);
    const isEnded = ENDING_TYPES.has(type);
    if (statement.lastRevision < lastRevision || statement.lastHash !== hash || statement.isEnded !== isEnded) {
      const end = statement.isEnded ? 'ended' : 'live';
      throw fault('STATEMENT_FALSE', `the log says ${said}, with hash ${statement.lastHash}, and the stream ${end}`);
    }
    this.prove(
      'STATEMENT',
      `the log says ${said} in a tree of size ${size}; the stream is ${isEnded ? 'ended' : 'live'}`,
    );
    this.leave(
      "that the log's statement is true: it is the log's word, and proof of fraud if it is false",
      `what was recorded after the tree's size of ${size}`,
    );
  }

  /** Check 8. */
  private verifyCosignatures({ note }: SignedTreeHead): void {
    const { logKey, cosigners, policy } = this.trust;
    const known = new Map([...cosigners, ...(policy?.witnesses.values() ?? [])].map((key) => [key.vkey, key]));
    const found: Cosignature[] = [];
    for (const key of known.values()) {
      for (const line of linesOf(note, key)) {
        const seconds = cosignedAt(line, note.text, key);
        if (seconds === undefined) {
          throw new EvidenceFault(
            'COSIGNATURE_WRONG',
            'checkpoint',
            `the cosignature of ${key.name} is not of its key`,
          );
        }
        found.push({ key, seconds });
      }
    }
    this.cosignatures = found;
    for (const { key, seconds } of found) this.prove('COSIGNED', `by ${key.name} at ${instant(seconds)}`);
    if (found.length === 0) {
      this.leave(
        'when the head was signed, and that everybody is shown the same one: nobody whose key you gave has cosigned it',
      );
    }
    const isKnown = ({ name, keyId }: { name: string; keyId: string }) =>
      [logKey, ...known.values()].some((key) => key.name === name && key.keyId === keyId);
    for (const line of note.signatures.filter((each) => !isKnown(each))) {
      this.leave(`the signature of ${line.name} with key id ${line.keyId}: you gave no such key`);
    }
  }

  private nameUnknownFiles(events: readonly EventFileNames[]): void {
    const known = new Set<string>([...FIXED_FILES, ...events.flatMap((names) => Object.values(names) as string[])]);
    for (const name of this.files.keys()) {
      if (!known.has(name)) this.leave(`the file ${JSON.stringify(name)}: it is none of this format`);
    }
  }

  /** Checks 9 and 10. */
  shortfall(): { readonly name: ShortfallName; readonly reason: string } | undefined {
    return this.policyShortfall() ?? this.ageShortfall();
  }

  private policyShortfall(): Verdict['shortfall'] {
    const { policy, logKey } = this.trust;
    if (!policy) return undefined;
    if (policy.logs.length > 0 && !policy.logs.some(({ vkey }) => vkey === logKey.vkey)) {
      return { name: 'LOG_NOT_IN_POLICY', reason: `your policy lists other logs than ${logKey.name}` };
    }
    const cosigned = new Set(this.cosignatures.map(({ key }) => key.vkey));
    const names = [...policy.witnesses].filter(([, { vkey }]) => cosigned.has(vkey)).map(([name]) => name);
    if (!policy.isMetBy(new Set(names))) {
      return { name: 'QUORUM_NOT_MET', reason: `cosigned by ${names.join(', ') || 'none'} of your policy` };
    }
    this.prove('POLICY', `your policy is met, by ${names.join(', ') || 'none'}`);
    return undefined;
  }

  private ageShortfall(): Verdict['shortfall'] {
    const { maxAge, now } = this.trust;
    if (maxAge === undefined) return undefined;
    const [first, ...others] = this.cosignatures.map(({ seconds }) => seconds);
    if (first === undefined) return { name: 'HEAD_TIME_UNKNOWN', reason: 'nobody whose key you gave has cosigned it' };
    const latest = others.reduce((one, other) => Math.max(one, other), first);
    const age = now - latest;
    if (age < -MAX_CLOCK_DIFFERENCE) return { name: 'HEAD_FROM_FUTURE', reason: `cosigned at ${instant(latest)}` };
    if (age > maxAge) return { name: 'HEAD_TOO_OLD', reason: `cosigned at ${instant(latest)}, ${age} s ago` };
    this.prove('AGE', `the head is ${Math.max(0, age)} s old`);
    return undefined;
  }
}

/** Beyond the range of JavaScript's dates, the seconds themselves. */
const instant = (seconds: number): string => {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} s` : date.toISOString();
};

const MAX_LISTED = 20;

function listed(indexes: readonly number[]): string {
  if (indexes.length === 1) return `leaf ${indexes[0]}`;
  if (indexes.length <= MAX_LISTED) return `leaves ${indexes.join(', ')}`;
  return `leaves ${indexes.slice(0, MAX_LISTED - 1).join(', ')}, … ${indexes.at(-1)}`;
}
