import fc from 'fast-check';
import { OUR_STREAM_PREFIXES, OUR_STREAMS } from '#event-log';
import { FENCES, InvalidPrefix, SNAPSHOT_PARTS, SNAPSHOTS, StreamNames } from './stream-names.js';

const BEGINNINGS = [...OUR_STREAM_PREFIXES, FENCES, SNAPSHOTS, SNAPSHOT_PARTS];

describe('a prefix of stream names', () => {
  it.each(['a', 'a-', 'staging-', 'eu.prod_2-', 'log', 'usage', '0', 'x'.repeat(64)])('may be %j', (prefix) => {
    const names = new StreamNames(prefix);
    expect(names.stored('signingKeys')).toBe(`${prefix}signingKeys`);
    expect(names.storedMetadata('log')).toBe(`$$${prefix}log`);
    expect(names.ours(`${prefix}usage-2026-03-01-1`)).toBe('usage-2026-03-01-1');
  });

  it.each([
    ...['$', '$ce-', '$$', '-a', '.a', 'a b', 'a\n', 'a/', 'a:', 'é-', 'a*', 'x'.repeat(65)],
    ...BEGINNINGS.flatMap((beginning) => [beginning, `my-${beginning}`, `${beginning}x-`]),
  ])('may not be %j', (prefix) => {
    expect(() => new StreamNames(prefix)).toThrow(InvalidPrefix);
  });
});

/** Parts of prefixes and of names: those of our streams, and others that a portal or an operator chooses. */
const part = fc.oneof(
  fc.constantFrom<string>('a-', 'a-b-', 'b-', 'log', 'logs-', 'fence', 'shot-', '-', ...OUR_STREAMS, ...BEGINNINGS),
  fc.stringMatching(/^[alsu._-]{0,3}$/),
);
const prefix = fc
  .array(part, { maxLength: 3 })
  .map((parts) => parts.join(''))
  .filter((candidate) => {
    try {
      return candidate === new StreamNames(candidate).prefix;
    } catch {
      return false;
    }
  });
const stream = fc.oneof(
  fc.constantFrom<string>(...OUR_STREAMS),
  fc
    .tuple(fc.constantFrom(...OUR_STREAM_PREFIXES, FENCES, SNAPSHOTS, SNAPSHOT_PARTS), fc.array(part, { maxLength: 3 }))
    .map(([beginning, rest]) => beginning + rest.join('')),
);
/** Whether the installation takes the stored stream for one of its own, be it an event stream, a fence or a snapshot. */
const isTakenBy = (names: StreamNames, stored: string) =>
  names.ours(stored) !== undefined || BEGINNINGS.some((beginning) => stored.startsWith(names.stored(beginning)));

describe('two installations on one server', () => {
  it('never take a stream of the other one for their own', () => {
    fc.assert(
      fc.property(prefix, prefix, stream, (one, other, name) => {
        fc.pre(one !== other);
        expect(isTakenBy(new StreamNames(one), new StreamNames(other).stored(name))).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it('ask the server for exactly the streams that they take', () => {
    fc.assert(
      fc.property(prefix, prefix, stream, part, (one, other, name, rest) => {
        const names = new StreamNames(one);
        const pattern = new RegExp(names.pattern());
        for (const stored of [names.stored(name), new StreamNames(other).stored(name), name + rest]) {
          expect({ stored, isAskedFor: pattern.test(stored) }).toEqual({
            ...{ stored, isAskedFor: names.ours(stored) !== undefined },
          });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
