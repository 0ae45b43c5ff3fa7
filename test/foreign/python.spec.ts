import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseBundle, trustFrom, UnreadableBundle, verifyEvidence, WrongArgument } from '#evidence';
import { evidenceFiles, evidenceJson, KEY_TYPE, noteOf, signText, statementText } from '#transparency';
import { Random } from '../support/load/random.js';
import {
  clientIdOf,
  EvidenceBook,
  keys,
  LOG_VKEY,
  ORIGIN,
  POLICY,
  SIGNED_AT,
  signedHead,
  streamOf,
  TIME_VKEY,
  vkey,
  WITNESS_VKEY,
} from '../support/transparency/evidence-book.js';
import {
  type Files,
  rehashed,
  remanifested,
  reordered,
  textIn,
  type VectorArguments,
  withEvent,
  withHead,
  without,
  withText,
} from '../support/transparency/evidence-vectors.js';

interface Question {
  /** The JSON form of a bundle, or what is left of it. */
  readonly bundle: string;
  readonly arguments: VectorArguments;
}

interface Answer {
  readonly exit: number;
  readonly fault: string | null;
}

const VECTORS = join(__dirname, '../../docs/evidence/vectors');

/** Asks the verifier in Python all questions in one process. */
function pythonsAnswers(questions: readonly Question[]): Answer[] {
  const input = questions.map((question) => `${JSON.stringify(question)}\n`).join('');
  const program = join(__dirname, 'evidence_verifier.py');
  const { stdout, stderr } = spawnSync('python3', [program], { input, encoding: 'utf8', maxBuffer: 2 ** 27 });
  expect(stderr).toBe('');
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
}

function ourAnswer({ bundle, arguments: given }: Question): Answer {
  const { key, since, policy, client, ...rest } = given;
  try {
    const trust = trustFrom({
      ...{ keys: key, ...rest },
      ...(since !== undefined && { since: Buffer.from(since) }),
      ...(policy !== undefined && { policy: Buffer.from(policy) }),
      ...(client !== undefined && { clientId: client }),
    });
    const { result, fault, shortfall } = verifyEvidence(parseBundle(Buffer.from(bundle)), trust);
    const exit = { HOLDS: 0, DOES_NOT_HOLD: 1, NOT_ENOUGH: 4 }[result];
    return { exit, fault: (fault ?? shortfall)?.name ?? null };
  } catch (error) {
    if (error instanceof WrongArgument) return { exit: 2, fault: null };
    if (error instanceof UnreadableBundle) return { exit: 3, fault: null };
    throw error;
  }
}

describe('a verifier in Python that was written from docs/evidence.md', () => {
  test('gives each vector the answer that it names', () => {
    const vectors = JSON.parse(readFileSync(join(VECTORS, 'vectors.json'), 'utf8')) as ({
      readonly name: string;
      readonly bundle: string;
      readonly arguments: VectorArguments;
    } & Answer)[];
    const answers = pythonsAnswers(
      vectors.map(({ bundle, arguments: given }) => ({
        bundle: readFileSync(join(VECTORS, bundle), 'utf8'),
        arguments: given,
      })),
    );
    expect(vectors.map(({ name }, index) => ({ name, ...answers[index] }))).toEqual(
      vectors.map(({ name, exit, fault }) => ({ name, exit, fault })),
    );
  });

  test('agrees with ours on 1,000 random bundles, good ones and tampered ones', async () => {
    const seed = Number(process.env.EVIDENCE_SEED ?? 15);
    const questions = await randomQuestions(seed, 1_000);
    const ours = questions.map(ourAnswer);
    const theirs = pythonsAnswers(questions);
    expect(theirs).toHaveLength(questions.length);
    const different = questions
      .map((question, index) => ({ seed, ours: ours[index], theirs: theirs[index], ...question }))
      .filter(({ ours: one, theirs: other }) => one?.exit !== other?.exit || one?.fault !== other?.fault);
    expect(different.slice(0, 1)).toEqual([]);
    // The bundles are not all refused, or all for the same reason.
    expect([...new Set(ours.map(({ exit }) => exit))].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(ours.filter(({ exit }) => exit === 0).length).toBeGreaterThan(100);
    expect(new Set(ours.map(({ fault }) => fault)).size).toBeGreaterThan(25);
  });
});

/** Makes bundles of several logs, of which about a third is left as it is, and arguments that fit most of them. */
async function randomQuestions(seed: number, count: number): Promise<Question[]> {
  const random = new Random(seed);
  const below = (limit: number) => random.between(0, limit - 1);
  const oneOf = <T>(values: readonly T[]): T => random.pick(values);
  const isRare = (share = 0.1) => random.next() < share;

  const names = ['alice', 'bob', 'carol'] as const;
  const books = Array.from({ length: 8 }, () => {
    const ended = new Set<string>();
    const turns = ['alice', ...Array.from({ length: below(40) }, () => oneOf(names))].flatMap((name) => {
      if (ended.has(name)) return [];
      if (!isRare(0.05)) return [name];
      ended.add(name);
      return [name, `${name}!`];
    });
    return EvidenceBook.of(turns);
  });

  /** Changes, adds or removes a character, most often one that is special somewhere in a bundle. */
  const mangled = (text: string): string => {
    const characters = Array.from(text);
    const at = below(characters.length + 1);
    const special = oneOf([
      ...Array.from('\n 0129AZaz+/=—:"\\{}[],.-\t'),
      '\u0001',
      '\u00a0',
      '\u2028',
      'é',
      '🌍',
      '\ufeff',
    ]);
    characters.splice(at, below(2), ...(isRare(0.3) ? [] : [special]));
    return characters.join('');
  };
  const anyName = (files: Files) => oneOf([...files.keys()]);
  const json = (revision: number) => `events/${String(revision).padStart(3, '0')}.json`;
  const eventCount = (files: Files) => [...files.keys()].filter((name) => name.endsWith('.json')).length;
  const permuted = (length: number) =>
    Array.from({ length: Math.max(1, length + below(3) - 1) }, (_, index) => (isRare(0.3) ? below(length) : index));

  const whole = new Map<EvidenceBook, Files>();
  const questions: Question[] = [];
  while (questions.length < count) {
    const book = oneOf(books);
    const name = oneOf(names);
    const first = book.events.findIndex(({ stream }) => stream === streamOf(name));
    if (first < 0) continue;
    const size = isRare(0.5) ? book.size : first + 1 + below(book.size - first);
    const since = isRare(0.5) ? below(size + 1) : undefined;
    const other = oneOf(books);
    const good = evidenceFiles(await book.evidence(streamOf(name), { size, ...(since !== undefined && { since }) }));
    const foreign = whole.get(other) ?? evidenceFiles(await other.evidence(streamOf('alice')));
    whole.set(other, foreign);
    const otherHead = await other.head(below(other.size + 1));
    const events = eventCount(good);
    const hash = Buffer.from(good.get(json(events - 1).replace('.json', '.leaf')) ?? []).toString('hex');
    const statement = {
      origin: isRare(0.1) ? 'other.example/log' : ORIGIN,
      ...{ stream: isRare(0.1) ? streamOf('dave') : streamOf(name), treeSize: size + (isRare(0.1) ? 1 : 0) },
      lastRevision: BigInt(Math.max(0, events - 1 + below(3) - 1)),
      ...{ lastHash: isRare(0.1) ? 'ab'.repeat(32) : hash, isEnded: isRare(0.3) },
    };
    const signedText = (text: string) => noteOf(text, [signText(ORIGIN, isRare() ? keys.stranger : keys.log, text)]);

    const tampered = (files: Files): Files =>
      oneOf<() => Files>([
        () => without(files, anyName(files)),
        () => withText(files, anyName(files), mangled),
        () => withText(files, oneOf(['checkpoint', 'statement.note', 'MANIFEST']), mangled),
        () => new Map(files).set('MANIFEST', Buffer.from(mangled(textIn(files, 'MANIFEST')))),
        () => new Map(files).set(anyName(files), Buffer.from('other')),
        () => remanifested(new Map(files).set(anyName(files), files.get(anyName(files)) ?? Buffer.of())),
        () => remanifested(new Map(files).set(anyName(files), foreign.get(anyName(foreign)) ?? Buffer.of())),
        () =>
          remanifested(new Map(files).set(oneOf(['stream-heads', 'events/x', 'events/999.leaf', '']), Buffer.of(65))),
        () => reordered(files, permuted(events)),
        () => reordered(files, permuted(events), isRare(0.5) ? foreign : files),
        () => withEvent(files, below(events), mangled),
        () =>
          withEvent(files, below(events), (text) =>
            text.replace(/:"[^"]*"/, oneOf([':1', ':1e2', ':-0', ':null', ':[]'])),
          ),
        () => rehashed(files, below(events), mangled, events - 1),
        () => withHead(files, otherHead),
        () => withHead(files, mangled(textIn(files, 'checkpoint'))),
        () => withHead(files, signedHead(mangled(textIn(files, 'checkpoint').split('\n\n')[0] ?? ''))),
        () => withText(files, 'statement.note', () => signedText(statementText(statement))),
        () => withText(files, 'statement.note', (note) => signedText(mangled(note.split('\n\n')[0] ?? ''))),
        () =>
          withText(files, `events/00${Math.min(9, below(events))}.tlog-proof`, (text) =>
            text.replace(/\n[^\n]{44}\n/, '\n'),
          ),
        () => withText(files, 'consistency', (text) => text.replace(/old \d+/, `old ${below(size + 1)}`)),
      ])();
    let files: Files = good;
    if (!isRare(0.35)) for (let times = 1 + below(2); times > 0; times--) files = tampered(files);

    const heldSize = since ?? below(book.size + 1);
    const held = await (isRare(0.15) ? other : book)
      .head(Math.min(heldSize, isRare(0.15) ? other.size : book.size))
      .catch(() => otherHead);
    const policy = oneOf([
      POLICY,
      POLICY,
      `witness t ${TIME_VKEY}\nwitness w ${WITNESS_VKEY}\ngroup g ${oneOf(['any', 'all', '1', '2', '3'])} t w\nquorum g\n`,
      `witness s ${vkey('stranger.example', KEY_TYPE.COSIGNATURE, keys.stranger)}\nquorum s\n`,
      `log ${vkey('other.example/1', KEY_TYPE.ED25519, keys.stranger)}\nquorum none\n`,
      mangled(POLICY),
    ]);
    const bundle = evidenceJson(files);
    questions.push({
      bundle: isRare(0.05) ? mangled(bundle) : bundle,
      arguments: {
        key: isRare(0.05) ? [mangled(LOG_VKEY)] : isRare(0.3) ? [LOG_VKEY, TIME_VKEY] : [LOG_VKEY],
        ...(isRare(0.4) && { since: isRare(0.05) ? mangled(held) : held }),
        ...(isRare(0.4) && { policy }),
        ...(isRare(0.3) && { maxAge: oneOf([60, 3_600, 7_200]) }),
        ...(isRare(0.2) && { client: clientIdOf(isRare(0.2) ? 'bob' : name) }),
        now: SIGNED_AT + oneOf([0, 3_600, 3_600, -1_000]),
      },
    });
  }
  return questions;
}
