import {
  evidenceFiles,
  type EvidenceParts,
  manifestOf,
  noteOf,
  parseNote,
  signText,
  treeHeadText,
} from '#transparency';
import {
  clientIdOf,
  EvidenceBook,
  keys,
  LOG_VKEY,
  ORIGIN,
  POLICY,
  sha256,
  SIGNED_AT,
  signedHead,
  signedStatement,
  streamOf,
  TIME_COSIGNER,
  TIME_VKEY,
  vkey,
  WITNESS,
  WITNESS_VKEY,
} from './evidence-book.js';

export type Files = Map<string, Uint8Array>;

/** What a verifier is given beside the bundle, as vectors.json has it. */
export interface VectorArguments {
  readonly key: readonly string[];
  readonly since?: string;
  readonly policy?: string;
  readonly maxAge?: number;
  readonly client?: string;
  readonly now: number;
}

export interface Vector {
  readonly name: string;
  readonly files: Files;
  readonly arguments: VectorArguments;
  readonly exit: 0 | 1 | 4;
  readonly fault: string | null;
}

/** Writes the manifest anew, as somebody who changes a file would. */
export const remanifested = (files: Files): Files => {
  const rest = new Map(files);
  rest.delete('MANIFEST');
  return rest.set('MANIFEST', Buffer.from(manifestOf(rest)));
};

export const textIn = (files: Files, name: string): string => Buffer.from(files.get(name) ?? []).toString();

/** Returns the bundle with another text in one file, and a manifest that fits. */
export const withText = (files: Files, name: string, change: (text: string) => string): Files =>
  remanifested(new Map(files).set(name, Buffer.from(change(textIn(files, name)))));

export const without = (files: Files, ...names: string[]): Files =>
  remanifested(new Map([...files].filter(([name]) => !names.includes(name))));

const eventFiles = (revision: number) => ['json', 'leaf', 'tlog-proof'].map((kind) => `events/00${revision}.${kind}`);

/** Returns the bundle whose events are those of `order`, numbered anew. */
export function reordered(files: Files, order: readonly number[], from: Files = files): Files {
  const rest = new Map([...files].filter(([name]) => !name.startsWith('events/')));
  for (const [revision, old] of order.entries()) {
    for (const [index, name] of eventFiles(revision).entries()) {
      rest.set(name, from.get(eventFiles(old)[index] ?? '') ?? Buffer.of());
    }
  }
  return remanifested(rest);
}

/** Returns the bundle with another event, and the leaf that fits. */
export const withEvent = (files: Files, revision: number, change: (json: string) => string): Files => {
  const [json = '', leaf = ''] = eventFiles(revision);
  const changed = Buffer.from(change(textIn(files, json)));
  return remanifested(new Map(files).set(json, changed).set(leaf, sha256(changed)));
};

/** Changes an event and chains all later ones anew. */
export function rehashed(files: Files, revision: number, change: (json: string) => string, last: number): Files {
  let changed = withEvent(files, revision, change);
  for (let next = revision + 1; next <= last; next++) {
    const hash = Buffer.from(changed.get(eventFiles(next - 1)[1] ?? '') ?? []).toString('hex');
    changed = withEvent(changed, next, (json) =>
      json.replace(/"previousHash":"[0-9a-f]*"/, `"previousHash":"${hash}"`),
    );
  }
  return changed;
}

/** Returns the bundle with another head, also in its proofs. */
export function withHead(files: Files, head: string): Files {
  const old = textIn(files, 'checkpoint');
  return remanifested(
    new Map(
      [...files].map(([name, bytes]) => {
        const text = Buffer.from(bytes).toString();
        return [name, text.endsWith(old) ? Buffer.from(text.slice(0, -old.length) + head) : bytes];
      }),
    ),
  );
}

const textOfNote = (note: string) => parseNote(note)?.text ?? '';
const renamedEvent = (json: string) => json.replace('"name":"Name 1 ☂"', '"name":"Name 1 ☁"');
const flippedSignature = (note: string, name: string) =>
  note.replace(
    new RegExp(`(— ${name} .{40})(.)`, 'u'),
    (_, start: string, digit: string) => start + (digit === 'A' ? 'B' : 'A'),
  );

/** The vectors of docs/evidence/vectors: good bundles, and each way of tampering with its fault. */
export async function evidenceVectors(): Promise<Vector[]> {
  // Alice: created, renamed, rotated, revoked. Bob lives.
  const book = EvidenceBook.of([
    'alice',
    'bob',
    'alice',
    'carol',
    'bob',
    'alice',
    'carol',
    'bob',
    'alice!',
    'carol',
    'bob',
  ]);
  // The same log, with another history of Carol.
  const fork = EvidenceBook.of([
    'alice',
    'bob',
    'alice',
    'carol',
    'bob',
    'alice',
    'carol!',
    'bob',
    'alice!',
    'dave',
    'bob',
  ]);
  const [alice, bob] = [streamOf('alice'), streamOf('bob')];
  const since = 7;
  const heldHead = await book.head(since);
  const [parts, sinceParts, oldParts] = [
    await book.evidence(alice),
    await book.evidence(alice, { since }),
    await book.evidence(alice, { size: since }),
  ];
  const [good, withSince, older] = [parts, sinceParts, oldParts].map(evidenceFiles) as [Files, Files, Files];
  const others = evidenceFiles(await book.evidence(bob));
  const head = await book.head();
  const headText = textOfNote(head);
  const last = book.events.filter(({ stream }) => stream === alice).at(-1);
  const beforeLast = book.events.filter(({ stream }) => stream === alice).at(-2);
  if (!last || !beforeLast) throw new Error('Alice has no events');

  const base: VectorArguments = { key: [LOG_VKEY], now: SIGNED_AT + 3_600 };
  const vectors: Vector[] = [];
  const holds = (name: string, files: Files, more: Partial<VectorArguments> = {}) =>
    vectors.push({ name, files, arguments: { ...base, ...more }, exit: 0, fault: null });
  const fails = (name: string, fault: string, files: Files, more: Partial<VectorArguments> = {}) =>
    vectors.push({ name, files, arguments: { ...base, ...more }, exit: 1, fault });
  const notEnough = (name: string, fault: string, files: Files, more: Partial<VectorArguments>) =>
    vectors.push({ name, files, arguments: { ...base, ...more }, exit: 4, fault });
  const resigned = (change: Partial<Parameters<typeof signedStatement>[0]>) =>
    signedStatement({ stream: alice, last, treeSize: book.size, ...change });
  const withStatement = (note: string) => withText(good, 'statement.note', () => note);

  // ---- good bundles
  holds('good', good);
  holds('good, a live client', others, { client: clientIdOf('bob') });
  holds('good, from an earlier head', withSince, { since: heldHead });
  holds('good, from the same head', good, { since: head });
  holds('good, from the head of an empty log', evidenceFiles(await book.evidence(alice, { since: 0 })), {
    since: await book.head(0),
  });
  holds('good, with a policy that is met', good, { policy: POLICY, maxAge: 7_200 });
  holds('good, with the cosigner of the log', good, { key: [LOG_VKEY, TIME_VKEY], maxAge: 3_600 });
  holds(
    'good, without a policy, and with a file of a later version',
    remanifested(new Map(without(good, 'policy')).set('stream-heads', Buffer.from('later\n'))),
  );
  holds('good, one event in a tree of one', evidenceFiles(await EvidenceBook.of(['alice']).evidence(alice)));
  holds(
    'a signature line of an unknown key',
    withHead(
      good,
      noteOf(headText, [...(parseNote(head)?.signatures ?? []), signText('stranger.example', keys.stranger, headText)]),
    ),
  );
  const group = `witness a ${WITNESS_VKEY}\nwitness b ${TIME_VKEY}\n# both\ngroup g 2 a b\nquorum g\n`;
  holds('good, with a policy of two witnesses', good, { policy: group });

  // ---- files
  fails('a missing statement', 'FILE_MISSING', without(good, 'statement.note'));
  fails('a dropped event', 'FILE_MISSING', without(good, ...eventFiles(1)));
  fails('no events', 'FILE_MISSING', without(good, ...[0, 1, 2, 3].flatMap(eventFiles)));
  fails('a proof of no event', 'FILE_UNEXPECTED', remanifested(new Map(good).set('events/004.leaf', Buffer.alloc(32))));
  fails(
    'a file that the manifest does not name',
    'MANIFEST_MISMATCH',
    withManifest(good, (text) => text.replace(/.*checkpoint\n/, '')),
  );
  fails('a changed file', 'MANIFEST_MISMATCH', new Map(good).set('policy', Buffer.from('quorum none\n')));
  fails(
    'a manifest that names a file twice',
    'MANIFEST_MISMATCH',
    withManifest(good, (text) => text + (text.split('\n')[0] ?? '') + '\n'),
  );

  // ---- head
  fails('a head with a fourth line', 'HEAD_MALFORMED', withHead(good, signedHead(`${headText}extension\n`)));
  fails('a head of another log', 'HEAD_OF_ANOTHER_LOG', withHead(good, head.replaceAll(ORIGIN, 'other.example/1')));
  fails(
    'a bundle that brings its own key',
    'HEAD_NOT_SIGNED',
    withText(
      withHead(good, noteOf(headText, [signText(ORIGIN, keys.stranger, headText)])),
      'policy',
      () => `log ${vkey(ORIGIN, 1, keys.stranger)}\nquorum none\n`,
    ),
  );
  fails(
    'a forged head',
    'HEAD_SIGNATURE_WRONG',
    withHead(good, head.replace(`\n${book.size}\n`, `\n${book.size + 1}\n`)),
  );
  fails(
    'a right and a wrong signature of the log',
    'HEAD_SIGNATURE_WRONG',
    withHead(good, noteOf(headText, [signText(ORIGIN, keys.log, headText), signText(ORIGIN, keys.log, 'other\n')])),
  );

  // ---- since
  fails('rolled back to an older head', 'ROLLED_BACK', older, { since: head });
  fails('a second root for the same size', 'SECOND_ROOT', good, { since: await fork.head() });
  fails('no proof of consistency', 'CONSISTENCY_MISSING', good, { since: heldHead });
  fails(
    'a proof of consistency without its size',
    'CONSISTENCY_MALFORMED',
    withText(withSince, 'consistency', (text) => text.replace(/^old 7\n/, '')),
    { since: heldHead },
  );
  fails(
    'a proof of consistency from another size',
    'CONSISTENCY_OF_ANOTHER_SIZE',
    evidenceFiles(await book.evidence(alice, { since: 6 })),
    { since: heldHead },
  );
  fails(
    'a proof of consistency with another head',
    'CONSISTENCY_OF_ANOTHER_HEAD',
    withText(withSince, 'consistency', (text) => text.slice(0, -head.length) + heldHead),
    { since: heldHead },
  );
  fails('a log that was rewritten since', 'CONSISTENCY_WRONG', withSince, { since: await fork.head(since) });
  fails(
    'a proof of consistency that lacks a hash',
    'CONSISTENCY_WRONG',
    withText(withSince, 'consistency', (text) => text.replace(/\n[^\n]+\n\n/, '\n\n')),
    { since: heldHead },
  );

  // ---- events
  fails('an edited event', 'LEAF_MISMATCH', withText(good, 'events/001.json', renamedEvent));
  fails('an edited event with its leaf', 'INCLUSION_WRONG', withEvent(good, 1, renamedEvent));
  fails('a stream that was hashed again', 'INCLUSION_WRONG', rehashed(good, 1, renamedEvent, 3));
  fails(
    'an event with white space',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace(',"eventId"', ', "eventId"')),
  );
  fails(
    'an event with a name twice',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace('{"name":', '{"name":"Other","name":')),
  );
  fails(
    'an event with a fraction',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace('"schemaVersion":1', '"schemaVersion":1.5')),
  );
  fails(
    'an event with a lone surrogate',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace('Name 1 ☂', '\\ud800')),
  );
  fails(
    'an event with its hash',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace('"occurredAt"', '"hash":"","occurredAt"')),
  );
  fails(
    'an event that is nested too deeply',
    'EVENT_MALFORMED',
    withEvent(good, 1, (json) => json.replace('"Name 1 ☂"', '['.repeat(63) + ']'.repeat(63))),
  );
  fails(
    'an event of another client',
    'EVENT_OF_ANOTHER_STREAM',
    reordered(
      good,
      [0, 1, 2, 3],
      new Map([...good, ...eventFiles(1).map((name) => [name, others.get(name) ?? Buffer.of()] as const)]),
    ),
  );
  fails(
    'swapped streams: the events of another client',
    'EVENT_OF_ANOTHER_STREAM',
    reordered(good, [0, 1, 2, 3], others),
    { client: clientIdOf('alice') },
  );
  fails('the evidence about another client', 'EVENT_OF_ANOTHER_STREAM', good, { client: clientIdOf('bob') });
  fails('a dropped event, the others numbered anew', 'REVISION_GAP', reordered(good, [0, 2, 3]));
  fails('two events in another order', 'REVISION_GAP', reordered(good, [0, 2, 1, 3]));
  fails('an event twice', 'REVISION_GAP', reordered(good, [0, 1, 1, 2, 3]));
  fails(
    'an inserted event',
    'CHAIN_BROKEN',
    withEvent(good, 2, (json) => json.replace(/"previousHash":"[0-9a-f]*"/, `"previousHash":"${'0'.repeat(64)}"`)),
  );
  fails('an event after the end', 'EVENT_AFTER_END', added(good));
  fails(
    'an added event with the proof of another',
    'INDEX_OUT_OF_ORDER',
    added(evidenceFiles(await book.evidence(bob))),
  );
  fails(
    'a proof with extra data',
    'PROOF_MALFORMED',
    withText(good, 'events/001.tlog-proof', (text) => text.replace('\nindex', '\nextra AAAA\nindex')),
  );
  fails(
    'a proof with an index with leading zeros',
    'PROOF_MALFORMED',
    withText(good, 'events/001.tlog-proof', (text) => text.replace('\nindex ', '\nindex 0')),
  );
  fails(
    'a proof with another head',
    'PROOF_OF_ANOTHER_HEAD',
    withText(good, 'events/001.tlog-proof', (text) => text.slice(0, -head.length) + heldHead),
  );
  fails(
    'a proof with another index',
    'INCLUSION_WRONG',
    withText(good, 'events/001.tlog-proof', (text) => text.replace('index 2\n', 'index 3\n')),
  );
  fails(
    'a proof of an index beyond the tree',
    'INCLUSION_WRONG',
    withText(good, 'events/003.tlog-proof', (text) => text.replace('index 8\n', 'index 11\n')),
  );
  fails(
    'a head of a future size',
    'INCLUSION_WRONG',
    withHead(good, signedHead(treeHeadText({ origin: ORIGIN, size: 20, root: sha256('a root') }))),
  );
  fails('a head with the root of another log', 'INCLUSION_WRONG', withHead(good, await fork.head()));

  // ---- statement
  fails('a statement with an eighth line', 'STATEMENT_MALFORMED', withStatement(`\n${resigned({})}`));
  const ownStatement = textOfNote(resigned({}));
  fails(
    'a statement by another key',
    'STATEMENT_NOT_SIGNED',
    withStatement(noteOf(ownStatement, [signText(ORIGIN, keys.stranger, ownStatement)])),
  );
  fails(
    'a changed statement',
    'STATEMENT_SIGNATURE_WRONG',
    withStatement(resigned({}).replace('\nended\n', '\nlive\n')),
  );
  fails(
    'a statement of the same log under another origin',
    'STATEMENT_OF_ANOTHER_LOG',
    withStatement(resigned({ origin: 'hub.example/0195d3a2' })),
  );
  fails('a statement about another stream', 'STATEMENT_OF_ANOTHER_STREAM', withStatement(resigned({ stream: bob })));
  fails('a statement of another time', 'STATEMENT_OF_ANOTHER_HEAD', withStatement(resigned({ treeSize: 10 })));
  fails(
    'a bundle that leaves out the revocation',
    'EVENTS_LEFT_OUT',
    evidenceFiles({ ...parts, events: parts.events.slice(0, -1) }),
  );
  fails('a false statement: an earlier end', 'STATEMENT_FALSE', withStatement(resigned({ last: beforeLast })));
  fails(
    'a false statement: another hash',
    'STATEMENT_FALSE',
    withStatement(resigned({ last: { ...last, metadata: { ...last.metadata, hash: '0'.repeat(64) } } })),
  );
  fails(
    'a false statement: live',
    'STATEMENT_FALSE',
    withStatement(resigned({ last: { ...last, type: 'ConsumerClientRenamed' } })),
  );

  // ---- cosignatures, policy, age
  const wrongWitness = withHead(good, flippedSignature(head, WITNESS));
  fails('a wrong cosignature of a known witness', 'COSIGNATURE_WRONG', wrongWitness, { policy: POLICY });
  holds('a wrong cosignature of a witness that nobody asked for', wrongWitness);
  fails(
    'a wrong cosignature of a known cosigner',
    'COSIGNATURE_WRONG',
    withHead(good, flippedSignature(head, TIME_COSIGNER)),
    { key: [TIME_VKEY, LOG_VKEY] },
  );
  const unwitnessed = evidenceFiles(withHeadOf(parts, noteOf(headText, [signText(ORIGIN, keys.log, headText)])));
  notEnough('a policy of other logs', 'LOG_NOT_IN_POLICY', good, {
    policy: `log ${vkey('other.example/1', 1, keys.stranger)}\nquorum none\n`,
  });
  notEnough('no cosignature of the witness', 'QUORUM_NOT_MET', unwitnessed, { policy: POLICY });
  const stranger = vkey('stranger.example', 4, keys.stranger);
  notEnough('one of two witnesses', 'QUORUM_NOT_MET', good, {
    policy: `witness a ${WITNESS_VKEY}\nwitness s ${stranger}\ngroup g all a s\nquorum g\n`,
  });
  notEnough('a head without a time', 'HEAD_TIME_UNKNOWN', good, { maxAge: 3_600 });
  notEnough('a head from the future', 'HEAD_FROM_FUTURE', good, {
    policy: POLICY,
    maxAge: 3_600,
    now: SIGNED_AT - 300,
  });
  notEnough('a head that is too old', 'HEAD_TOO_OLD', good, { policy: POLICY, maxAge: 3_594 });
  notEnough('an old bundle, before the revocation', 'HEAD_TOO_OLD', older, { policy: POLICY, maxAge: 60 });
  return vectors;
}

const withHeadOf = (parts: EvidenceParts, head: string): EvidenceParts => ({ ...parts, head });

const withManifest = (files: Files, change: (text: string) => string): Files =>
  new Map(files).set('MANIFEST', Buffer.from(change(textIn(files, 'MANIFEST'))));

/** Adds an event behind the last one, Bob's fourth or Alice's revocation, chained rightly. */
function added(files: Files): Files {
  const copy = reordered(files, [0, 1, 2, 3, 3]);
  const hash = sha256(files.get('events/003.json') ?? Buffer.of()).toString('hex');
  return withEvent(copy, 4, (json) =>
    json.replace('"revision":"3"', '"revision":"4"').replace(/"previousHash":"[0-9a-f]*"/, `"previousHash":"${hash}"`),
  );
}
