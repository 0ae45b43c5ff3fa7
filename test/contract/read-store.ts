import fc from 'fast-check';
import type { Checkpoint } from '#event-log';
import type { Position } from '#events';
import {
  type BuildName,
  type CollectionSchema,
  type DocumentWrite,
  type GramIndex,
  gramsOf,
  type Lease,
  type PageQuery,
  type ReadStore,
  ReadStoreUnavailable,
  type StoredDocument,
} from '#read-models';

/** A read store for one test. The store is empty at first. */
export interface TestReadStore {
  /** Opens a new connection, as another process would. The test suite closes the connection. */
  open(): Promise<ReadStore>;
  /** Copies the present content. Resolves to a function that restores the copy while connections stay open. */
  snapshot(): Promise<() => Promise<void>>;
  remove(): Promise<void>;
}

export interface ReadStoreHarness {
  create(): Promise<TestReadStore>;
}

interface Note {
  readonly workspace: string;
  readonly status: string;
  readonly title?: string | null;
  readonly rank?: number;
  readonly pinned?: boolean;
  readonly tags?: readonly string[];
  readonly titleGrams?: readonly string[];
}

/** The collection that this test suite uses. The collection has one index for each list that the suite reads. */
export const notes: CollectionSchema = {
  name: 'notes',
  version: 1,
  indexes: [
    ['workspace', 'title'],
    ['workspace', 'rank'],
    ['workspace', 'status', 'title'],
    ['workspace', 'status', 'rank'],
    ['workspace', 'pinned', 'title'],
    ['rank', 'title'],
    ['title'],
  ],
  arrayIndexes: ['tags'],
  gramIndexes: [{ field: 'titleGrams', within: ['workspace'] }],
};

const [TITLE_GRAMS] = notes.gramIndexes as readonly [GramIndex];

/** Returns a search for a text inside titles. */
const inTitle = (value: string): NonNullable<PageQuery['inside']> => ({ field: 'title', value, grams: TITLE_GRAMS });

/**
 * Returns queries of all kinds: for each index, in both directions, with and without a cursor, with and without a
 * prefix, and with and without a value that an array must contain.
 */
export function lists(): PageQuery[] {
  return notes.indexes.flatMap((fields) => {
    const field = fields.at(-1) ?? '';
    const equals = Object.fromEntries(fields.slice(0, -1).map((name) => [name, 'value']));
    const filters = [
      {},
      { contains: { field: 'tags', value: 'x' } },
      { prefix: { field, value: 'a' } },
      { contains: { field: 'tags', value: 'x' }, prefix: { field, value: 'a' } },
      { inside: { field, value: 'a', grams: TITLE_GRAMS } },
      { contains: { field: 'tags', value: 'x' }, inside: { field, value: 'a', grams: TITLE_GRAMS } },
    ];
    return (['asc', 'desc'] as const).flatMap((direction) =>
      filters.flatMap((filter) => {
        const list = { equals, ...filter, sort: { field, direction }, limit: 10 };
        return [list, { ...list, after: { value: 'ab', id: 'n1' } }];
      }),
    );
  });
}

const BUILD = 'notes_v1_1';
const RACERS = 20;
const LONGEST_WALK = 1_000;

/** Declares the tests that every adapter of the read store must pass. */
export function readStoreContract(name: string, harness: ReadStoreHarness): void {
  describe(`a read store on ${name}`, () => {
    let server: TestReadStore;
    let opened: ReadStore[];
    let store: ReadStore;

    const open = async (): Promise<ReadStore> => {
      const connection = await server.open();
      opened.push(connection);
      return connection;
    };

    beforeEach(async () => {
      opened = [];
      server = await harness.create();
      store = await open();
      await store.prepare(BUILD, notes);
    });

    afterEach(async () => {
      await Promise.all(opened.map((connection) => connection.close()));
      await server.remove();
    });

    describe('documents', () => {
      it('come back as they were written', async () => {
        expect(await store.write(BUILD, [fresh('n1', { title: 'One' }), fresh('n2', { title: 'Two' })])).toEqual([]);

        const found = await store.read(BUILD, ['n2', 'n1', 'unknown']);

        expect(byId(found)).toEqual([
          { id: 'n1', position: '0001', revision: 0n, doc: { title: 'One' } },
          { id: 'n2', position: '0001', revision: 0n, doc: { title: 'Two' } },
        ]);
        expect(await store.read(BUILD, [])).toEqual([]);
      });

      it('are written only at the expected position; a mismatch does not stop the rest of the batch', async () => {
        await store.write(BUILD, [fresh('here', { title: 'first' }), fresh('moved', { title: 'first' })]);

        const misses = await store.write(BUILD, [
          fresh('here', { title: 'second' }),
          next('moved', '0000', '0002', { title: 'second' }),
          next('absent', '0001', '0002', { title: 'second' }),
          fresh('new', { title: 'first' }),
        ]);

        expect(misses.toSorted()).toEqual(['absent', 'here', 'moved']);
        const found = byId(await store.read<Note>(BUILD, ['here', 'moved', 'absent', 'new']));
        expect(found.map(({ id, position, doc }) => [id, position, doc.title])).toEqual([
          ['here', '0001', 'first'],
          ['moved', '0001', 'first'],
          ['new', '0001', 'first'],
        ]);
      });

      it('are replaced as a whole', async () => {
        await store.write(BUILD, [fresh('n1', { title: 'One', rank: 1, extra: { deep: true } })]);
        expect(await store.write(BUILD, [next('n1', '0001', '0002', { title: 'Uno' }, 7n)])).toEqual([]);
        expect(await store.read(BUILD, ['n1'])).toEqual([
          { id: 'n1', position: '0002', revision: 7n, doc: { title: 'Uno' } },
        ]);
      });

      it('compare positions as strings, not as numbers', async () => {
        await store.write(BUILD, [fresh('n1', {}, '0010')]);
        expect(await store.write(BUILD, [next('n1', '10', '0011', {})])).toEqual(['n1']);
        expect(await store.write(BUILD, [next('n1', '1e1', '0011', {})])).toEqual(['n1']);
        expect(await store.write(BUILD, [next('n1', '0010', '0011', {})])).toEqual([]);
      });

      it('go to exactly one of twenty racing writers, each document on its own', async () => {
        const connections = [store, await open()];
        const ids = ['a', 'b', 'c'];
        for (let round = 0; round < 8; round++) {
          const expected = round === 0 ? undefined : position(round);
          const missed = await Promise.all(
            Array.from({ length: RACERS }, (_, racer) =>
              connectionOf(connections, racer).write(
                BUILD,
                rotated(ids, racer).map((id) => ({
                  ...fresh(id, { winner: racer }, position(round + 1)),
                  expected,
                })),
              ),
            ),
          );
          const stored = await store.read<{ winner: number }>(BUILD, ids);
          for (const id of ids) {
            const winners = missed.flatMap((misses, racer) => (misses.includes(id) ? [] : [racer]));
            expect(winners).toHaveLength(1);
            expect(stored.find((document) => document.id === id)?.doc.winner).toBe(winners[0]);
          }
        }
      });

      it('lose no update of twenty writers that read again after a mismatch', async () => {
        const connections = [store, await open()];
        await Promise.all(
          Array.from({ length: RACERS }, async (_, racer) => {
            const connection = connectionOf(connections, racer);
            for (let done = false; !done;) {
              const [stored] = await connection.read<{ sum: number }>(BUILD, ['sum']);
              const write = fresh('sum', { sum: (stored?.doc.sum ?? 0) + 1 }, `${stored?.position ?? ''}+${racer}`);
              done = (await connection.write(BUILD, [{ ...write, expected: stored?.position }])).length === 0;
            }
          }),
        );
        expect((await store.read(BUILD, ['sum']))[0]?.doc).toEqual({ sum: RACERS });
      });

      it('are seen by every connection once their write is acknowledged', async () => {
        const other = await open();
        for (let turn = 1; turn <= 50; turn++) {
          const expected = turn === 1 ? undefined : position(turn - 1);
          await store.write(BUILD, [{ ...fresh('n1', { title: 't', turn }, position(turn)), expected }]);
          expect((await other.read(BUILD, ['n1']))[0]?.doc).toEqual({ title: 't', turn });
          expect((await other.find(BUILD, byTitle({}, 'asc', 5)))[0]?.position).toBe(position(turn));
        }
      });

      it.each<[string, unknown]>([
        ['Unicode', { title: 'Ω ≈ ç√ 東京 👩‍👩‍👧 \u202e\u0000\u001f\u2028 e\u0301 é', '🔑': 'ключ' }],
        ['names of the prototype', JSON.parse('{"__proto__":{"admin":true},"constructor":1,"toString":null}')],
        ['names that SQL and paths know', { 'select "doc"': "'; DROP TABLE notes; --", 'a"b': '%_', 'x]y[0]': '?1' }],
        ['nulls and nothing', { a: null, b: [null, [], {}], c: '', d: false, e: 0 }],
        ['numbers', [2 ** 53 - 1, -(2 ** 53 - 1), 1e308, 5e-324, 0.1, 1.5e-7, -42]],
        ['depth', deep(60)],
        ['a megabyte', { text: 'ä'.repeat(500_000) }],
      ])('hold %s', async (_, value) => {
        await store.write(BUILD, [fresh('odd', { value })]);
        const [found] = await store.read<{ value: unknown }>(BUILD, ['odd']);
        expect(JSON.stringify(found?.doc.value)).toBe(JSON.stringify(value));
      });

      it('hold revisions beyond 2^53, and ids of any script', async () => {
        const revision = 2n ** 53n + 1n;
        await store.write(BUILD, [{ ...fresh('ид-\'"%🔑', {}), revision }]);
        expect((await store.read(BUILD, ['ид-\'"%🔑']))[0]?.revision).toBe(revision);
      });

      it('need no list: a build without indexes is read by id', async () => {
        await store.prepare('plain_v1_1', { name: 'plain', version: 1, indexes: [] });
        expect(await store.write('plain_v1_1', [fresh('n1', { title: 'One' })])).toEqual([]);
        expect((await store.read('plain_v1_1', ['n1', 'n2'])).map(({ id }) => id)).toEqual(['n1']);
      });

      it('are written a thousand at a time', async () => {
        const ids = Array.from({ length: 1_000 }, (_, index) => `n${position(index)}`);
        expect(
          await store.write(
            BUILD,
            ids.map((id) => fresh(id, { title: id })),
          ),
        ).toEqual([]);
        expect(await store.count(BUILD)).toBe(1_000);
        expect((await store.read(BUILD, ids)).map(({ id }) => id).toSorted()).toEqual(ids);
      });
    });

    describe('lists', () => {
      it('equal a sort by code point and a filter of all documents, page by page', async () => {
        let run = 0;
        await fc.assert(
          fc.asyncProperty(
            fc.array(noteArbitrary, { maxLength: 25 }),
            listArbitrary,
            fc.integer({ min: 1, max: 6 }),
            async (drafts, list, limit) => {
              const workspace = `run${run++}`;
              const all = drafts.map((draft, index) =>
                fresh(`${workspace}-${index % 3}${index}`, withGrams({ workspace, ...draft })),
              );
              await store.write(BUILD, all);
              const query = { ...list, equals: { ...list.equals, workspace }, limit };
              expect((await walk(store, query)).map(({ id }) => id)).toEqual(expectedIds(all, query));
            },
          ),
          { numRuns: 150 },
        );
      });

      it('are sorted by code point, not by UTF-16 unit, locale or case', async () => {
        const titles = ['Z', 'a', 'B', 'é', 'e\u0301', '\uffee', '😀', '', '10', '9', '\u0000'];
        await store.write(
          BUILD,
          titles.map((title, index) => fresh(`n${index}`, { title })),
        );
        const sorted = ['', '\u0000', '10', '9', 'B', 'Z', 'a', 'e\u0301', 'é', '\uffee', '😀'];
        expect(await titlesOf(store, byTitle({}, 'asc', 3))).toEqual(sorted);
        expect(await titlesOf(store, byTitle({}, 'desc', 3))).toEqual(sorted.toReversed());
      });

      it('are sorted by number', async () => {
        const ranks = [10, 9, -1, 0.5, 0, 1e21, -1e21, 2 ** 53 - 1];
        await store.write(
          BUILD,
          ranks.map((rank, index) => fresh(`n${index}`, { workspace: 'w', rank })),
        );
        for (const direction of ['asc', 'desc'] as const) {
          const found = await walk(store, { equals: { workspace: 'w' }, sort: { field: 'rank', direction }, limit: 3 });
          const sorted = ranks.toSorted((left, right) => left - right);
          expect(found.map(({ doc }) => doc.rank)).toEqual(direction === 'asc' ? sorted : sorted.toReversed());
        }
      });

      it('leave out documents that lack the sort field', async () => {
        await store.write(BUILD, [
          fresh('has', { workspace: 'w', title: '' }),
          fresh('lacks', { workspace: 'w', rank: 1 }),
          fresh('null', { workspace: 'w', title: null }),
        ]);
        for (const direction of ['asc', 'desc'] as const) {
          const found = await walk(store, byTitle({ workspace: 'w' }, direction, 2));
          expect(found.map(({ id }) => id)).toEqual(['has']);
        }
      });

      it('filter by strings, numbers and booleans', async () => {
        await store.write(BUILD, [
          fresh('yes', { workspace: 'w', title: 't', pinned: true, rank: 1 }),
          fresh('no', { workspace: 'w', title: 't', pinned: false, rank: 1.5 }),
          fresh('elsewhere', { workspace: 'W', title: 't', pinned: true, rank: -1 }),
        ]);
        const ids = async (equals: PageQuery['equals']) =>
          (await walk(store, byTitle(equals, 'asc', 2))).map(({ id }) => id);
        expect(await ids({ workspace: 'w', pinned: true })).toEqual(['yes']);
        expect(await ids({ pinned: false, workspace: 'w' })).toEqual(['no']);
        expect(await ids({ rank: 1.5 })).toEqual(['no']);
        expect(await ids({ workspace: 'W' })).toEqual(['elsewhere']);
        expect(await ids({ workspace: 'w ' })).toEqual([]);
      });

      it('show a document only at the place of its last write', async () => {
        await store.write(BUILD, [fresh('n1', { workspace: 'w', title: 'a', rank: 1 })]);
        await store.write(BUILD, [next('n1', '0001', '0002', { workspace: 'w', title: 'z' })]);
        expect(await titlesOf(store, byTitle({ workspace: 'w' }, 'asc', 5))).toEqual(['z']);
        expect(
          await walk(store, { equals: { workspace: 'w' }, sort: { field: 'rank', direction: 'asc' }, limit: 5 }),
        ).toEqual([]);
      });

      it('repeat and lose no document when others write during the walk', async () => {
        const first = Array.from({ length: 40 }, (_, index) =>
          fresh(`old${index}`, { workspace: 'w', title: `t${index % 4}` }),
        );
        await store.write(BUILD, first);
        for (const direction of ['asc', 'desc'] as const) {
          const seen: string[] = [];
          let turn = 0;
          for await (const page of pages(store, byTitle({ workspace: 'w' }, direction, 3))) {
            seen.push(...page.map(({ id }) => id));
            const added = ['', 't1', 't3', 'z'].map((title, n) =>
              fresh(`${direction}${turn}-${n}`, { workspace: 'w', title }),
            );
            if (turn++ < 15) await store.write(BUILD, added);
          }
          expect(new Set(seen).size).toBe(seen.length);
          expect(seen).toEqual(expect.arrayContaining(first.map(({ id }) => id)));
        }
      });

      it('show a document that moves between two tables in exactly one of them at any time', async () => {
        const reader = await open();
        const ids = Array.from({ length: 60 }, (_, index) => `n${position(index)}`);
        const note = (id: string, status: string) => ({ workspace: 'w', status, title: id });
        await store.write(
          BUILD,
          ids.map((id) => fresh(id, note(id, 'ACTIVE'))),
        );
        const listed = async (status: string) => {
          const found = await walk(reader, byTitle({ workspace: 'w', status }, 'asc', 7));
          expect(found.every(({ doc }) => doc.status === status)).toBe(true);
          return found.map(({ id }) => id);
        };

        let moved = 0;
        const move = async () => {
          for (const id of rotated(ids, 31)) {
            await store.write(BUILD, [next(id, '0001', '0002', note(id, 'REVOKED'))]);
            moved++;
          }
        };
        const look = async () => {
          while (moved < ids.length) {
            // Meanwhile, `move` changes each document from ACTIVE to REVOKED. A document that changes between the two
            // reads appears twice if ACTIVE is read first, and is missing if REVOKED is read first.
            const forwards = [...(await listed('ACTIVE')), ...(await listed('REVOKED'))];
            expect(new Set(forwards).size).toBe(ids.length);
            const backwards = [...(await listed('REVOKED')), ...(await listed('ACTIVE'))];
            expect(new Set(backwards).size).toBe(backwards.length);
          }
        };
        await Promise.all([move(), look()]);
        expect(await listed('ACTIVE')).toEqual([]);
        expect(await listed('REVOKED')).toEqual(ids);
      });
    });

    describe('search by prefix', () => {
      const titles = [
        ...['abc', 'abd', 'ab', 'a', 'ABC', 'b', ''],
        ...[
          '50% off',
          '50x off',
          'snake_case',
          'snakeXcase',
          'a*b',
          'aXb',
          '.hidden',
          'xhidden',
          '^a',
          'a$',
          '[ab]',
          '(a',
        ],
        ...['back\\slash', 'back/slash', '"quoted"', "'quoted'", '\u0000nul', 'a\u0000b'],
        ...[
          'été',
          'e\u0301te\u0301',
          '東京',
          '東方',
          '\ud7ffx',
          '\ue000x',
          '\uffffx',
          '😀 one',
          '😀 two',
          '😁',
          '\u{10ffff}',
          '\u{10ffff}a',
        ],
      ];

      it.each([
        ...new Set([
          ...titles,
          '50%',
          'snake_',
          'a*',
          '.',
          '😀',
          '東',
          '\ud7ff',
          '\u{10ffff}',
          'é',
          'zzz',
          'ab%',
          '\\',
        ]),
      ])('%j finds the strings with that beginning, in order, in both directions', async (prefix) => {
        await store.write(
          BUILD,
          titles.map((title, index) => fresh(`n${index}`, { workspace: 'w', title })),
        );
        const sorted = titles.filter((title) => title.startsWith(prefix)).toSorted(byCodePoint);
        const search = { field: 'title', value: prefix };
        expect(await titlesOf(store, { ...byTitle({ workspace: 'w' }, 'asc', 2), prefix: search })).toEqual(sorted);
        expect(await titlesOf(store, { ...byTitle({ workspace: 'w' }, 'desc', 2), prefix: search })).toEqual(
          sorted.toReversed(),
        );
      });

      it('finds strings only, and nothing outside the prefix for a cursor from elsewhere', async () => {
        await store.write(BUILD, [
          ...['a', 'm1', 'm2', 'z'].map((title) => fresh(title, { workspace: 'w', title })),
          fresh('number', { workspace: 'w', title: 1 }),
        ]);
        const query = (direction: 'asc' | 'desc', value: string): PageQuery => ({
          ...byTitle({ workspace: 'w' }, direction, 9),
          prefix: { field: 'title', value: 'm' },
          after: { value, id: value },
        });
        const ids = async (page: PageQuery) => (await store.find(BUILD, page)).map(({ id }) => id);
        expect(await ids(query('asc', ''))).toEqual(['m1', 'm2']);
        expect(await ids(query('asc', 'z'))).toEqual([]);
        expect(await ids(query('desc', 'zz'))).toEqual(['m2', 'm1']);
        expect(await ids(query('desc', 'a'))).toEqual([]);
        expect(await ids({ ...byTitle({ workspace: 'w' }, 'asc', 9), prefix: { field: 'title', value: '' } })).toEqual([
          'a',
          'm1',
          'm2',
          'z',
        ]);
      });
    });

    describe('search for a text inside a field', () => {
      const titled = (id: string, title: string, more: object = {}) =>
        fresh(id, withGrams({ workspace: 'w', title, ...more }));
      const search = (value: string, direction: 'asc' | 'desc' = 'asc', limit = 2): PageQuery => ({
        ...byTitle({ workspace: 'w' }, direction, limit),
        inside: inTitle(value),
      });
      const titles = [
        ...['forecast', 'cast', 'broadcast', 'castle cast', 'ca', 'st', '50% off', 'snake_case', 'a.b', 'a+b', '(x)'],
        ...[
          '[y]',
          'c:\\d',
          '^start',
          'end$',
          'a|b',
          'q?',
          '日本東京',
          '東',
          '😀b😀',
          'e\u0301',
          'é',
          '\u{10ffff}z',
          '',
        ],
      ];

      it.each([
        ...['cast', 'ast', 'as', 'a', 't', 'cas', 'broadcast', 'castle cast ', '%', '_', '.', 'a.b', '+', '(', '[y]'],
        ...[
          '\\',
          '^',
          '$',
          '|',
          '?',
          '東',
          '本東',
          '日本東京',
          '😀',
          'b😀',
          '\u0301',
          'é',
          '\u{10ffff}',
          '',
          'A',
          '\0',
        ],
      ])('%j finds the strings that contain it, in order, in both directions', async (value) => {
        await store.write(
          BUILD,
          titles.map((title, at) => titled(`n${at}`, title)),
        );
        const sorted = titles.filter((title) => title.includes(value)).toSorted(byCodePoint);
        expect(await titlesOf(store, search(value))).toEqual(sorted);
        expect(await titlesOf(store, search(value, 'desc'))).toEqual(sorted.toReversed());
      });

      it('finds strings of this workspace only, with all other filters', async () => {
        await store.write(BUILD, [
          titled('n1', 'forecast', { status: 'ACTIVE', tags: ['x'] }),
          titled('n2', 'broadcast', { status: 'REVOKED', tags: ['x', 'y'] }),
          titled('n3', 'castle', { status: 'ACTIVE' }),
          titled('n4', 'castle', { workspace: 'other', status: 'ACTIVE', tags: ['x'] }),
          fresh('n5', { workspace: 'w', status: 'ACTIVE', title: 5, titleGrams: ['5', 'c', 'ca', 'cas'] }),
        ]);
        const ids = async (query: PageQuery) => (await walk(store, query)).map(({ id }) => id);
        expect(await ids(search('cas'))).toEqual(['n2', 'n3', 'n1']);
        expect(await ids(search('5'))).toEqual([]);
        const active = { ...search('cast'), equals: { workspace: 'w', status: 'ACTIVE' } };
        expect(await ids(active)).toEqual(['n3', 'n1']);
        expect(await ids({ ...search('cast'), contains: { field: 'tags', value: 'x' } })).toEqual(['n2', 'n1']);
        expect(await ids({ ...active, contains: { field: 'tags', value: 'x' } })).toEqual(['n1']);
      });

      it('follows the document', async () => {
        await store.write(BUILD, [titled('n1', 'forecast'), titled('n2', 'broadcast')]);
        await store.write(BUILD, [next('n1', '0001', '0002', withGrams({ workspace: 'w', title: 'tides' }))]);
        expect(await titlesOf(store, search('cast'))).toEqual(['broadcast']);
        expect(await titlesOf(store, search('ide'))).toEqual(['tides']);
        await store.write(BUILD, [next('n1', '0002', '0003', withGrams({ workspace: 'v', title: 'tides' }))]);
        expect(await titlesOf(store, search('ide'))).toEqual([]);
        await store.write(BUILD, [next('n2', '0001', '0002', { workspace: 'w' })]);
        expect(await titlesOf(store, search('cast'))).toEqual([]);
      });

      it('is the same for many documents, of which all, some or one contain the text, wherever these are', async () => {
        const all = Array.from(
          { length: 3_000 },
          (_, n) => `client ${String(n).padStart(4, '0')}${n < 1_200 ? '' : ' zz'}`,
        );
        await store.write(
          BUILD,
          all.map((title, n) => titled(`n${n}`, title)),
        );
        for (const text of ['client', '29', 'client 0777', ' zz', 'ient 12', 'nowhere']) {
          const sorted = all.filter((title) => title.includes(text));
          for (const [direction, expected] of [['asc', sorted] as const, ['desc', sorted.toReversed()] as const]) {
            const page = (await store.find<Note>(BUILD, search(text, direction, 7))).map(({ doc, id }) => ({
              doc,
              id,
            }));
            expect(page.map(({ doc }) => doc.title)).toEqual(expected.slice(0, 7));
            const last = page.at(-1);
            if (!last) continue;
            const after = { value: last.doc.title ?? '', id: last.id };
            const second = await store.find<Note>(BUILD, { ...search(text, direction, 7), after });
            expect(second.map(({ doc }) => doc.title)).toEqual(expected.slice(7, 14));
          }
        }
      });

      it('finds documents that were loaded before the index was made', async () => {
        await store.prepareToLoad('notes_v1_2', notes);
        const writes = [titled('n1', 'forecast'), titled('n2', 'tides'), fresh('n3', { workspace: 'w' })];
        const checkpoint = { logId: 'log', position: '0001', eventId: 'e1' };
        await store.load('notes_v1_2', { writes, expected: undefined, next: checkpoint });
        await store.prepare('notes_v1_2', notes);
        await store.write('notes_v1_2', [titled('n4', 'broadcast')]);
        const found = await store.find<Note>('notes_v1_2', search('cast', 'asc', 9));
        expect(found.map(({ doc }) => doc.title)).toEqual(['broadcast', 'forecast']);
        await store.drop('notes_v1_2');
        expect((await store.builds('notes', 1)).map(({ build }) => build)).toEqual([BUILD]);
      });
    });

    describe('search by an element', () => {
      const tagged = (tag: string, direction: 'asc' | 'desc' = 'asc'): PageQuery => ({
        ...byTitle({ workspace: 'w' }, direction, 2),
        contains: { field: 'tags', value: tag },
      });
      const note = (title: string, tags: readonly string[] | undefined) => ({ workspace: 'w', title, tags });

      it('finds each document once, sorted, page by page', async () => {
        await store.write(BUILD, [
          fresh('n1', note('c', ['x', 'y', 'x'])),
          fresh('n2', note('a', ['x'])),
          fresh('n3', note('b', ['y', 'X', 'xx'])),
          fresh('n4', note('b', ['x'])),
          fresh('n5', note('d', [])),
          fresh('n6', { workspace: 'w', title: 'e' }),
          fresh('n7', { workspace: 'other', title: 'f', tags: ['x'] }),
        ]);
        expect((await walk(store, tagged('x'))).map(({ id }) => id)).toEqual(['n2', 'n4', 'n1']);
        expect((await walk(store, tagged('x', 'desc'))).map(({ id }) => id)).toEqual(['n1', 'n4', 'n2']);
        expect(await walk(store, tagged('none'))).toEqual([]);
      });

      it('follows the array and the list’s fields', async () => {
        await store.write(BUILD, [fresh('n1', note('a', ['x', 'y'])), fresh('n2', note('b', ['x']))]);
        await store.write(BUILD, [next('n1', '0001', '0002', note('z', ['y', '😀']))]);
        expect(await titlesOf(store, tagged('x'))).toEqual(['b']);
        expect(await titlesOf(store, tagged('😀'))).toEqual(['z']);
        await store.write(BUILD, [next('n1', '0002', '0003', note('m', ['y', '😀', 'x']))]);
        expect(await titlesOf(store, tagged('y'))).toEqual(['m']);
        expect(await titlesOf(store, tagged('x'))).toEqual(['b', 'm']);
        await store.write(BUILD, [next('n1', '0003', '0004', { workspace: 'w', title: 'm' })]);
        expect(await titlesOf(store, tagged('x'))).toEqual(['b']);
        await store.write(BUILD, [next('n2', '0001', '0002', { workspace: 'other', title: 'b', tags: ['x'] })]);
        expect(await titlesOf(store, tagged('x'))).toEqual([]);
      });
    });

    it('scans and counts all documents in the order of their ids', async () => {
      expect(await store.count(BUILD)).toBe(0);
      expect(await store.scan(BUILD, undefined, 10)).toEqual([]);
      const ids = ['b', 'a', 'B', '😀', '\uffee', '10', '9'];
      await store.write(
        BUILD,
        ids.map((id) => fresh(id, { id })),
      );
      const sorted = ['10', '9', 'B', 'a', 'b', '\uffee', '😀'];
      const found: string[] = [];
      for (let page = await store.scan(BUILD, undefined, 2); page.length > 0;) {
        found.push(...page.map(({ id }) => id));
        page = await store.scan(BUILD, found.at(-1), 2);
      }
      expect(found).toEqual(sorted);
      expect(await store.count(BUILD)).toBe(ids.length);
    });

    describe('checkpoints', () => {
      const at = (place: number, logId = 'log-1'): Checkpoint => ({
        logId,
        position: position(place),
        eventId: `e${place}`,
      });

      it('move only from the expected checkpoint', async () => {
        expect(await store.checkpoint(BUILD)).toBeUndefined();
        expect(await store.advance(BUILD, at(1), at(2))).toBe(false);
        expect(await store.advance(BUILD, undefined, at(1))).toBe(true);
        expect(await store.advance(BUILD, undefined, at(2))).toBe(false);
        expect(await store.advance(BUILD, { ...at(1), eventId: 'other' }, at(2))).toBe(false);
        expect(await store.advance(BUILD, { ...at(1), logId: 'log-2' }, at(2))).toBe(false);
        expect(await store.checkpoint(BUILD)).toEqual(at(1));
        expect(await store.advance(BUILD, at(1), at(2))).toBe(true);
        expect(await store.checkpoint(BUILD)).toEqual(at(2));
      });

      it('come back exactly as they were stored, for any log', async () => {
        const foreign: Checkpoint = { logId: 'Лог "2" 🔑', position: '0000000000009007199254740993', eventId: '%_\\' };
        await store.advance(BUILD, undefined, foreign);
        expect(await (await open()).checkpoint(BUILD)).toEqual(foreign);
      });

      it('go to exactly one of twenty racers', async () => {
        const connections = [store, await open()];
        let current: Checkpoint | undefined;
        for (let round = 0; round < 8; round++) {
          const candidates = Array.from({ length: RACERS }, (_, racer) => at(round * RACERS + racer));
          const won = await Promise.all(
            candidates.map((candidate, racer) => connectionOf(connections, racer).advance(BUILD, current, candidate)),
          );
          expect(won.filter(Boolean)).toHaveLength(1);
          current = candidates[won.indexOf(true)];
          expect(await store.checkpoint(BUILD)).toEqual(current);
        }
      });

      it('belong to their build', async () => {
        await store.prepare('notes_v1_2', notes);
        await store.advance(BUILD, undefined, at(1));
        expect(await store.checkpoint('notes_v1_2')).toBeUndefined();
        expect(await store.advance('notes_v1_2', undefined, at(7))).toBe(true);
        expect(await store.checkpoint(BUILD)).toEqual(at(1));
      });
    });

    describe('loads', () => {
      const LOADED = 'notes_v1_2';
      const at = (place: number): Checkpoint => ({ logId: 'log', position: position(place), eventId: `e${place}` });
      const note = (title: string) => ({ workspace: 'w', title, tags: ['x', title] });

      beforeEach(() => store.prepareToLoad(LOADED, notes));

      it('write documents and their checkpoint; after `prepare`, all lists show them', async () => {
        const first = [fresh('n2', note('b'), position(2)), fresh('n1', note('a'), position(1))];
        expect(await store.load(LOADED, { writes: first, expected: undefined, next: at(3) })).toBe(true);
        const second = [next('n2', position(2), position(5), note('c')), fresh('n3', note('d'), position(4))];
        expect(await store.load(LOADED, { writes: second, expected: at(3), next: at(6) })).toBe(true);
        expect(await store.checkpoint(LOADED)).toEqual(at(6));
        await store.prepareToLoad(LOADED, notes);
        await Promise.all([store.prepare(LOADED, notes), (await open()).prepare(LOADED, notes)]);
        await store.write(LOADED, [next('n3', position(4), position(7), note('e'))]);

        const list = { equals: { workspace: 'w' }, sort: { field: 'title', direction: 'asc' }, limit: 10 } as const;
        const titles = async (query: PageQuery) => (await store.find<Note>(LOADED, query)).map(({ doc }) => doc.title);
        expect(await titles(list)).toEqual(['a', 'c', 'e']);
        expect(await titles({ ...list, contains: { field: 'tags', value: 'x' } })).toEqual(['a', 'c', 'e']);
        expect(await titles({ ...list, contains: { field: 'tags', value: 'd' } })).toEqual([]);
        expect(await store.count(LOADED)).toBe(3);
      });

      it('are as large as a projector needs', async () => {
        const writes = Array.from({ length: 5_432 }, (_, n) => fresh(`n${n}`, note(`title ${n}`)));
        expect(await store.load(LOADED, { writes, expected: undefined, next: at(1) })).toBe(true);
        expect(await store.count(LOADED)).toBe(writes.length);
      });

      it('change nothing if the checkpoint is another one', async () => {
        const writes = [fresh('n1', note('a'))];
        expect(await store.load(LOADED, { writes, expected: at(1), next: at(2) })).toBe(false);
        await store.advance(LOADED, undefined, at(1));
        expect(await store.load(LOADED, { writes, expected: undefined, next: at(2) })).toBe(false);
        expect(await store.checkpoint(LOADED)).toEqual(at(1));
        expect(await store.count(LOADED)).toBe(0);
      });

      it('replace no document at another position, and then store no checkpoint', async () => {
        await store.write(LOADED, [fresh('n1', note('theirs'), position(2)), fresh('n2', note('theirs'), position(2))]);
        const inserted = [fresh('n1', note('ours'), position(3)), fresh('n3', note('ours'), position(3))];
        expect(await store.load(LOADED, { writes: inserted, expected: undefined, next: at(3) })).toBe(false);
        const replaced = [next('n2', position(1), position(3), note('ours'))];
        expect(await store.load(LOADED, { writes: replaced, expected: undefined, next: at(3) })).toBe(false);
        expect(await store.checkpoint(LOADED)).toBeUndefined();
        const found = await store.read<Note>(LOADED, ['n1', 'n2']);
        expect(found.map(({ doc }) => doc.title)).toEqual(['theirs', 'theirs']);
      });

      it('store no checkpoint if one of thousands of documents can’t be written', async () => {
        await store.write(LOADED, [fresh('n7000', note('theirs'))]);
        const writes = Array.from({ length: 5_432 }, (_, n) => fresh(`n${n + 2_000}`, note('ours')));
        expect(await store.load(LOADED, { writes, expected: undefined, next: at(1) })).toBe(false);
        expect(await store.checkpoint(LOADED)).toBeUndefined();
      });

      it('go to exactly one of twenty racers', async () => {
        const connections = [store, await open()];
        const won = await Promise.all(
          Array.from({ length: RACERS }, (_, racer) =>
            connectionOf(connections, racer).load(LOADED, {
              ...{ writes: [fresh(`n${racer}`, note('a'))], expected: undefined, next: at(racer + 1) },
            }),
          ),
        );
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await store.checkpoint(LOADED)).toEqual(at(won.indexOf(true) + 1));
      });

      it('are refused for a missing build', async () => {
        const load = { writes: [fresh('n1', note('a'))], expected: undefined, next: at(1) };
        expect(await store.load('notes_v1_9', load)).toBe(false);
        await expect(store.prepareToLoad(LOADED, { ...notes, version: 2 })).rejects.toThrow(TypeError);
      });
    });

    describe('leases', () => {
      const lease = (holder: string, turn = 1, ttlMs = 2_000): Lease => ({ holder, turn, ttlMs });

      it('are taken if free, and renewed or taken over only from the expected turn', async () => {
        const other = await open();
        expect(await store.lease(BUILD)).toBeUndefined();
        expect(await store.setLease(BUILD, lease('a'), lease('a', 2))).toBe(false);
        expect(await store.setLease(BUILD, undefined, lease('a'))).toBe(true);
        expect(await other.setLease(BUILD, undefined, lease('b'))).toBe(false);
        expect(await other.lease(BUILD)).toEqual(lease('a'));

        expect(await store.setLease(BUILD, lease('a'), lease('a', 2))).toBe(true);
        expect(await other.setLease(BUILD, lease('a'), lease('b'))).toBe(false);
        expect(await other.setLease(BUILD, lease('b', 2), lease('b'))).toBe(false);
        expect(await other.setLease(BUILD, lease('a', 2), lease('b', 1, 7))).toBe(true);
        expect(await store.setLease(BUILD, lease('a', 2), lease('a', 3))).toBe(false);
        expect(await store.lease(BUILD)).toEqual(lease('b', 1, 7));
      });

      it('hold the question of a waiting process until the next turn', async () => {
        const asked = { ...lease('a'), asked: true } as const;
        await store.setLease(BUILD, undefined, lease('a'));
        expect(await store.setLease(BUILD, lease('a'), asked)).toBe(true);
        expect(await store.lease(BUILD)).toEqual(asked);
        expect(await store.setLease(BUILD, lease('a'), lease('a', 2))).toBe(true);
        expect(await store.lease(BUILD)).toEqual(lease('a', 2));
        expect(await store.setLease(BUILD, lease('a'), asked)).toBe(false);
      });

      it('are released only by their holder', async () => {
        await store.setLease(BUILD, undefined, lease('a', 9));
        await store.releaseLease(BUILD, 'b');
        expect(await store.lease(BUILD)).toEqual(lease('a', 9));
        await store.releaseLease(BUILD, 'a');
        expect(await store.lease(BUILD)).toBeUndefined();
        await store.releaseLease(BUILD, 'a');
        expect(await store.setLease(BUILD, lease('a', 9), lease('a', 10))).toBe(false);
        expect(await store.setLease(BUILD, undefined, lease('b'))).toBe(true);
      });

      it('go to exactly one of twenty racers, whether free or abandoned', async () => {
        const connections = [store, await open()];
        let current: Lease | undefined;
        for (let round = 0; round < 8; round++) {
          const candidates = Array.from({ length: RACERS }, (_, racer) => lease(`${round}-${racer}`));
          const won = await Promise.all(
            candidates.map((candidate, racer) => connectionOf(connections, racer).setLease(BUILD, current, candidate)),
          );
          expect(won.filter(Boolean)).toHaveLength(1);
          current = candidates[won.indexOf(true)];
          expect(await store.lease(BUILD)).toEqual(current);
        }
      });

      it('belong to their build: another build has its own, a missing one has none, and a dropped one keeps none', async () => {
        await store.prepare('notes_v1_2', notes);
        await store.setLease(BUILD, undefined, lease('a'));
        await store.setLease('notes_v1_2', undefined, lease('b'));
        expect(await store.lease(BUILD)).toEqual(lease('a'));
        expect(await store.setLease('notes_v1_3', undefined, lease('c'))).toBe(false);
        expect(await store.lease('notes_v1_3')).toBeUndefined();

        await store.prepare(BUILD, notes);
        expect(await store.lease(BUILD)).toEqual(lease('a'));
        await store.drop(BUILD);
        expect(await store.lease(BUILD)).toBeUndefined();
        expect(await store.setLease(BUILD, undefined, lease('c'))).toBe(false);
        expect(await store.lease('notes_v1_2')).toEqual(lease('b'));
      });

      it('change no checkpoint, and no checkpoint changes them', async () => {
        const at = { logId: 'log', position: '0001', eventId: 'e' };
        await store.setLease(BUILD, undefined, lease('a'));
        expect(await store.advance(BUILD, undefined, at)).toBe(true);
        expect(await store.setLease(BUILD, lease('a'), lease('a', 2))).toBe(true);
        expect(await store.checkpoint(BUILD)).toEqual(at);
        expect(await store.lease(BUILD)).toEqual(lease('a', 2));
      });
    });

    describe('two projectors at once', () => {
      it('give the same result as one alone', async () => {
        const events = madeUpEvents(400);
        const connections = [store, await open()];
        await Promise.all([...connections, ...connections].map((each, index) => project(each, events, 5 + 3 * index)));

        const found = await store.scan<Tally>(BUILD, undefined, 100);
        expect(found.map(({ id, doc }) => [id, doc.seen])).toEqual(tallies(events));
        expect((await store.checkpoint(BUILD))?.position).toBe(events.at(-1)?.position);
      });
    });

    describe('a store restored to an older state', () => {
      it('has the older checkpoint and documents, refuses writes based on newer ones, and catches up', async () => {
        const events = madeUpEvents(120);
        await project(store, events.slice(0, 50), 10);
        const restore = await server.snapshot();
        await project(store, events.slice(0, 100), 10);
        const [ahead] = await store.scan<Tally>(BUILD, undefined, 1);
        const latest = await store.checkpoint(BUILD);

        await restore();

        const older = await answered(() => store.checkpoint(BUILD));
        expect(older?.position).toBe(events[49]?.position);
        expect((await store.scan<Tally>(BUILD, undefined, 100)).map(({ id, doc }) => [id, doc.seen])).toEqual(
          tallies(events.slice(0, 50)),
        );
        if (ahead === undefined || latest === undefined) throw new Error('nothing was projected');
        expect(await answered(() => store.write(BUILD, [{ ...ahead, expected: ahead.position }]))).toEqual([ahead.id]);
        expect(await store.advance(BUILD, latest, { ...latest, position: position(999) })).toBe(false);

        await project(store, events, 10);
        expect((await store.scan<Tally>(BUILD, undefined, 100)).map(({ id, doc }) => [id, doc.seen])).toEqual(
          tallies(events),
        );
      });
    });

    describe('builds', () => {
      it('are listed oldest first, of their projection and version only', async () => {
        const next = { ...notes, version: 2 };
        for (const build of ['notes_v1_10', 'notes_v1_2'] as const) await store.prepare(build, notes);
        await store.prepare('notes_v2_1', next);
        await store.prepare('notesOther_v1_1', { ...notes, name: 'notesOther' });
        const checkpoint = { logId: 'log', position: '0005', eventId: 'e' };
        await store.advance('notes_v1_2', undefined, checkpoint);
        await store.serve(notes, undefined, 'notes_v1_2');

        expect(await store.builds('notes', 1)).toEqual([
          { build: 'notes_v1_1', checkpoint: undefined, served: false },
          { build: 'notes_v1_2', checkpoint, served: true },
          { build: 'notes_v1_10', checkpoint: undefined, served: false },
        ]);
        expect(await store.builds('notes', 2)).toEqual([{ build: 'notes_v2_1', checkpoint: undefined, served: false }]);
        expect(await store.builds('notes', 3)).toEqual([]);
        expect(await store.builds('unknown', 1)).toEqual([]);
      });

      it('can be prepared again without harm, also by many at once', async () => {
        await store.write(BUILD, [fresh('n1', { title: 'kept' })]);
        await store.advance(BUILD, undefined, { logId: 'log', position: '0001', eventId: 'e' });
        const connections = [store, await open(), await open()];
        await Promise.all(
          Array.from({ length: 24 }, (_, racer) =>
            connectionOf(connections, racer).prepare(racer % 2 === 0 ? BUILD : 'notes_v1_2', notes),
          ),
        );
        expect((await store.builds('notes', 1)).map(({ build }) => build)).toEqual([BUILD, 'notes_v1_2']);
        expect(await store.count(BUILD)).toBe(1);
        expect((await store.checkpoint(BUILD))?.position).toBe('0001');
      });

      it('exist side by side, and one switch points queries to the new one', async () => {
        await store.prepare('notes_v1_2', notes);
        await store.write(BUILD, [fresh('n1', { title: 'old' })]);
        await store.write('notes_v1_2', [fresh('n1', { title: 'new' })]);
        expect(await store.served('notes', 1)).toBeUndefined();
        expect(await store.serve(notes, 'notes_v1_2', BUILD)).toBe(false);
        expect(await store.serve(notes, undefined, BUILD)).toBe(true);
        expect(await store.serve(notes, undefined, 'notes_v1_2')).toBe(false);
        expect(await store.served('notes', 1)).toBe(BUILD);
        expect(await store.served('notes', 2)).toBeUndefined();
        expect(await store.serve(notes, BUILD, 'notes_v1_2')).toBe(true);
        expect(await (await open()).served('notes', 1)).toBe('notes_v1_2');
        expect((await store.read(BUILD, ['n1']))[0]?.doc).toEqual({ title: 'old' });
        expect((await store.read('notes_v1_2', ['n1']))[0]?.doc).toEqual({ title: 'new' });
      });

      it('are switched by exactly one of twenty racers', async () => {
        const connections = [store, await open()];
        const builds: BuildName[] = Array.from({ length: 4 }, (_, index) => `notes_v1_${index + 1}` as const);
        for (const build of builds) await store.prepare(build, notes);
        let current: BuildName | undefined;
        for (let round = 0; round < 6; round++) {
          const candidates = Array.from(
            { length: RACERS },
            (_, racer) => rotated(builds, racer + round)[0] ?? BUILD,
          ).filter((candidate) => candidate !== current);
          const won = await Promise.all(
            candidates.map((candidate, racer) => connectionOf(connections, racer).serve(notes, current, candidate)),
          );
          expect(won.filter(Boolean)).toHaveLength(1);
          current = candidates[won.indexOf(true)];
          expect(await store.served('notes', 1)).toBe(current);
        }
      });

      it('are dropped with all their data, also by two at once; the served one is not', async () => {
        await store.prepare('notes_v1_2', notes);
        await store.write(BUILD, [fresh('n1', { title: 'old', tags: ['x'] })]);
        await store.advance(BUILD, undefined, { logId: 'log', position: '0001', eventId: 'e' });
        await store.serve(notes, undefined, BUILD);
        await expect(store.drop(BUILD)).rejects.toThrow(BUILD);
        expect(await store.count(BUILD)).toBe(1);

        await store.serve(notes, BUILD, 'notes_v1_2');
        const other = await open();
        await Promise.all([store.drop(BUILD), other.drop(BUILD), store.drop(BUILD)]);
        expect((await other.builds('notes', 1)).map(({ build }) => build)).toEqual(['notes_v1_2']);
        expect(await store.checkpoint(BUILD)).toBeUndefined();
        expect(await store.advance(BUILD, undefined, { logId: 'log', position: '0001', eventId: 'e' })).toBe(false);

        const build = await store.nextBuild(notes);
        await store.prepare(build, notes);
        expect(await store.count(build)).toBe(0);
        const tagged = { ...byTitle({}, 'asc', 5), contains: { field: 'tags', value: 'x' } };
        expect(await store.find(build, tagged)).toEqual([]);
        expect(await store.checkpoint(build)).toBeUndefined();
      });

      it('get a number above all others, and are empty also after the last one was dropped', async () => {
        await store.prepare('notes_v1_10', notes);
        expect(await store.nextBuild(notes)).toBe('notes_v1_11');
        expect(await store.nextBuild({ name: 'notes', version: 2 })).toBe('notes_v2_1');
        expect(await store.nextBuild({ name: 'other', version: 1 })).toBe('other_v1_1');
        for (let turn = 0; turn < 3; turn++) {
          const build = await store.nextBuild(notes);
          await store.prepareToLoad(build, notes);
          await store.drop(build);
          await store.prepareToLoad(await store.nextBuild(notes), notes);
          await store.drop(await store.nextBuild(notes));
        }
        for (const { build } of await store.builds('notes', 1)) expect(await store.count(build)).toBe(0);
      });
    });

    describe('closing', () => {
      it('ends running calls; then every call fails with ReadStoreUnavailable', async () => {
        const closing = await open();
        await closing.ping();
        const writes = Array.from({ length: 10 }, (_, index) => closing.write(BUILD, [fresh(`n${index}`, {})]));
        await closing.close();
        await closing.close();
        expect(await Promise.all(writes)).toEqual(writes.map(() => []));
        expect(await store.count(BUILD)).toBe(10);

        const at = { logId: 'log', position: '0001', eventId: 'e' };
        const calls = [
          () => closing.ping(),
          () => closing.prepare(BUILD, notes),
          () => closing.nextBuild(notes),
          () => closing.builds('notes', 1),
          () => closing.served('notes', 1),
          () => closing.serve(notes, undefined, BUILD),
          () => closing.drop(BUILD),
          () => closing.read(BUILD, ['n1']),
          () => closing.write(BUILD, [fresh('n1', {})]),
          () => closing.find(BUILD, byTitle({}, 'asc', 1)),
          () => closing.count(BUILD),
          () => closing.scan(BUILD, undefined, 1),
          () => closing.checkpoint(BUILD),
          () => closing.advance(BUILD, undefined, at),
          () => closing.lease(BUILD),
          () => closing.setLease(BUILD, undefined, { holder: 'a', turn: 1, ttlMs: 1 }),
          () => closing.releaseLease(BUILD, 'a'),
        ];
        for (const call of calls) await expect(call()).rejects.toBeInstanceOf(ReadStoreUnavailable);
        await store.ping();
      });
    });
  });
}

const position = (place: number): Position => String(place).padStart(4, '0');

const fresh = (id: string, doc: unknown, at: Position = '0001'): DocumentWrite => ({
  id,
  expected: undefined,
  position: at,
  revision: 0n,
  doc,
});

const next = (id: string, expected: Position, at: Position, doc: unknown, revision = 1n): DocumentWrite => ({
  id,
  expected,
  position: at,
  revision,
  doc,
});

const connectionOf = (connections: readonly ReadStore[], racer: number): ReadStore => {
  const connection = connections[racer % connections.length];
  if (connection === undefined) throw new Error('no connection is open');
  return connection;
};

const rotated = <Item>(items: readonly Item[], by: number): Item[] => {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
};

const byId = <Doc>(documents: readonly StoredDocument<Doc>[]) =>
  documents.toSorted((left, right) => byCodePoint(left.id, right.id));

const byCodePoint = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));

const deep = (levels: number): unknown => (levels === 0 ? 'the end' : { next: [deep(levels - 1)] });

const byTitle = (equals: PageQuery['equals'], direction: 'asc' | 'desc', limit: number): PageQuery => ({
  ...(equals && { equals }),
  sort: { field: 'title', direction },
  limit,
});

type SortField = 'title' | 'rank';

async function* pages(store: ReadStore, query: PageQuery): AsyncGenerator<StoredDocument<Note>[]> {
  let after = query.after;
  for (;;) {
    const page = await store.find<Note>(BUILD, { ...query, ...(after && { after }) });
    if (page.length > 0) yield page;
    const last = page.at(-1);
    const value = last?.doc[query.sort.field as SortField];
    if (page.length < query.limit || last === undefined || value === undefined || value === null) return;
    after = { value, id: last.id };
  }
}

async function walk(store: ReadStore, query: PageQuery): Promise<StoredDocument<Note>[]> {
  const found: StoredDocument<Note>[] = [];
  for await (const page of pages(store, query)) {
    found.push(...page);
    if (found.length > LONGEST_WALK) throw new Error('The walk comes to no end');
  }
  return found;
}

const titlesOf = async (store: ReadStore, query: PageQuery) => (await walk(store, query)).map(({ doc }) => doc.title);

const words = fc.oneof(
  fc.constantFrom('a', 'ab', 'abc', 'b', '', '%', '_', '😀', '😀b', '\uffee', '\u{10ffff}'),
  fc.string({ unit: 'binary', maxLength: 4 }),
);

const noteArbitrary: fc.Arbitrary<Omit<Note, 'workspace'>> = fc.record(
  {
    status: fc.constantFrom('ACTIVE', 'REVOKED'),
    title: fc.option(words),
    rank: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true, noDefaultInfinity: true })),
    tags: fc.array(fc.constantFrom('x', 'y', '😀'), { maxLength: 3 }),
  },
  { requiredKeys: ['status'] },
);

const listArbitrary: fc.Arbitrary<Omit<PageQuery, 'limit'>> = fc
  .record({
    equals: fc.constantFrom({}, { status: 'ACTIVE' }, { status: 'REVOKED' }),
    sort: fc.record({ field: fc.constantFrom('title', 'rank'), direction: fc.constantFrom('asc', 'desc') }),
    prefix: fc.option(words, { nil: undefined }),
    inside: fc.option(words, { nil: undefined }),
    tag: fc.option(fc.constantFrom('x', 'y', '😀'), { nil: undefined }),
  })
  .map(({ equals, sort, prefix, inside, tag }) => ({
    equals,
    sort,
    ...(sort.field === 'title' && (inside === undefined ? prefixed(prefix) : { inside: inTitle(inside) })),
    ...(tag !== undefined && { contains: { field: 'tags', value: tag } }),
  }));

const prefixed = (value: string | undefined) => (value === undefined ? {} : { prefix: { field: 'title', value } });

const withGrams = <Draft extends Partial<Note>>(note: Draft) =>
  typeof note.title === 'string' ? { ...note, titleGrams: gramsOf(note.title) } : note;

/** Computes the expected list directly from its definition: filters and sorts all documents. */
function expectedIds(all: readonly DocumentWrite[], { equals, prefix, inside, contains, sort }: PageQuery): string[] {
  const listed = all
    .map(({ id, doc }) => ({ id, doc: doc as Note, key: (doc as Note)[sort.field as SortField] }))
    .filter(({ key }) => key !== undefined && key !== null)
    .filter(({ doc }) => equals?.status === undefined || doc.status === equals.status)
    .filter(({ key }) => prefix === undefined || String(key).startsWith(prefix.value))
    .filter(({ key }) => inside === undefined || String(key).includes(inside.value))
    .filter(({ doc }) => contains === undefined || doc.tags?.includes(contains.value) === true)
    .toSorted((left, right) => compareKeys(left.key, right.key) || byCodePoint(left.id, right.id))
    .map(({ id }) => id);
  return sort.direction === 'asc' ? listed : listed.toReversed();
}

const compareKeys = (left: unknown, right: unknown): number =>
  typeof left === 'number' && typeof right === 'number' ? left - right : byCodePoint(String(left), String(right));

interface MadeUpEvent {
  readonly eventId: string;
  readonly position: Position;
  readonly ids: readonly string[];
}

interface Tally {
  readonly seen: readonly string[];
}

/** Makes `count` events. Each event touches one or two of seven documents. */
const madeUpEvents = (count: number): MadeUpEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    eventId: `e${index}`,
    position: position(index + 1),
    ids: [...new Set([`d${index % 7}`, `d${(index * index) % 5}`])],
  }));

/** Computes the expected documents from the events alone, without a store. */
const tallies = (events: readonly MadeUpEvent[]): [string, string[]][] =>
  [...new Set(events.flatMap(({ ids }) => ids))]
    .toSorted(byCodePoint)
    .map((id) => [id, events.filter(({ ids }) => ids.includes(id)).map(({ eventId }) => eventId)]);

/**
 * A minimal projector: reads documents, folds new events into the documents, writes the documents, and moves the
 * checkpoint.
 */
async function project(store: ReadStore, events: readonly MadeUpEvent[], batchSize: number): Promise<void> {
  for (;;) {
    const checkpoint = await store.checkpoint(BUILD);
    const batch = events.filter(({ position }) => position > (checkpoint?.position ?? '')).slice(0, batchSize);
    const last = batch.at(-1);
    if (last === undefined) return;
    let ids = [...new Set(batch.flatMap((event) => event.ids))];
    while (ids.length > 0) {
      const stored = new Map((await store.read<Tally>(BUILD, ids)).map((document) => [document.id, document]));
      const writes = ids.flatMap((id) => {
        const before = stored.get(id);
        const fold = batch.filter((event) => event.ids.includes(id) && event.position > (before?.position ?? ''));
        const end = fold.at(-1);
        if (end === undefined) return [];
        const seen = [...(before?.doc.seen ?? []), ...fold.map(({ eventId }) => eventId)];
        return [
          { id, expected: before?.position, position: end.position, revision: BigInt(seen.length), doc: { seen } },
        ];
      });
      ids = await store.write(BUILD, writes);
    }
    await store.advance(BUILD, checkpoint, { logId: 'log', position: last.position, eventId: last.eventId });
  }
}

/** Repeats the call while the store is unavailable, for at most 10 s. */
async function answered<Result>(call: () => Promise<Result>): Promise<Result> {
  const giveUpAt = performance.now() + 10_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ReadStoreUnavailable) || performance.now() > giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
