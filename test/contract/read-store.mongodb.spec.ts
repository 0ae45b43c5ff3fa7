import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Document, Int32, Long, MongoClient, MongoServerError } from 'mongodb';
import { ProjectionStopped, RebuildNeeded } from '#event-log';
import {
  type BuildName,
  type DocumentWrite,
  type Projection,
  projections,
  Projector,
  readModels,
  type ReadStore,
  ReadStoreUnavailable,
  rebuild,
  ServedProjection,
} from '#read-models';
import {
  type MongoReadStoreOptions,
  openMongoReadStore,
  pageFind,
  type StoredFields,
  validatorOf,
} from '#read-models/mongodb';
import { clientNamed, plainFold, silent, Stage, storedDocuments, until, VERIFIER_MARK } from '../replay/stage.js';
import { inDatabase } from '../servers/mongodb/launch.js';
import {
  describeWithMongo,
  describeWithOwnMongo,
  type MongoProcess,
  startMongo,
} from '../servers/mongodb/mongo-server.js';
import { MongoRelay, refusal, urlThrough } from '../servers/mongodb/relay.js';
import { idleMs } from '../support/load/load-meter.js';
import { lists, notes, readStoreContract } from './read-store.js';

const { clients } = projections;

const BUILD = 'notes_v1_1';
/** Time after which the launcher gives up a server that does not start, in ms. */
const START_MS = 60_000;

/** Returns the BSON bytes of a field that holds a string (https://bsonspec.org/spec.html). */
const fieldOf = (name: string, value: string): string => {
  const length = Buffer.alloc(4);
  length.writeInt32LE(value.length + 1);
  return `\x02${name}\0${length.toString('latin1')}${value}\0`;
};

const write = (id: string, doc: unknown = {}): DocumentWrite => ({
  ...{ id, expected: undefined, position: '0001', revision: 0n, doc },
});

/** Projects the log into the first build (copy of the documents) of the projection, until the build has caught up. */
async function project<Doc>(stage: Stage, store: ReadStore, projection: Projection<Doc>): Promise<BuildName> {
  const build: BuildName = `${projection.name}_v${projection.version}_1`;
  const stop = new AbortController();
  const projector = new Projector({ ...stage.stores, store, projection, build, observer: silent });
  const running = projector.run(stop.signal);
  await Promise.race([projector.caughtUp, running]);
  stop.abort();
  await running;
  return build;
}

describeWithMongo('MongoDB', () => {
  let mongo: MongoProcess;
  let client: MongoClient;

  beforeAll(async () => {
    mongo = await startMongo();
    client = new MongoClient(mongo.url);
  });

  afterAll(async () => {
    await client.close();
    await mongo.stop();
  });

  const newDatabase = () => `read_store_${randomUUID().slice(0, 8)}`;

  readStoreContract('MongoDB', {
    create: () => {
      const database = newDatabase();
      return Promise.resolve({
        open: () => openMongoReadStore({ url: mongo.url, database }),
        snapshot: () => dump(client, database),
        remove: async () => {
          await client.db(database).dropDatabase();
        },
      });
    },
  });

  describe('the MongoDB read store', () => {
    let database: string;
    let store: ReadStore;

    beforeEach(async () => {
      database = newDatabase();
      store = await openMongoReadStore({ url: mongo.url, database });
      await store.prepare(BUILD, notes);
    });

    afterEach(async () => {
      await store.close();
      await client.db(database).dropDatabase();
    });

    const collections = async () => {
      const found = await client.db(database).listCollections({}, { nameOnly: true }).toArray();
      return found.map(({ name }) => name).filter((name) => !name.startsWith('system.'));
    };
    /** Returns the result of the command, or `undefined` if the server does not support the command. */
    const whereSupported = (command: Promise<unknown>) =>
      command.catch((error: unknown) => {
        if (!(error instanceof MongoServerError && error.codeName === 'CommandNotFound')) throw error;
      });

    it('has an index for every list: the filters, then the sort, then the id', async () => {
      const indexes = await client.db(database).collection(BUILD).indexes();
      for (const list of lists()) {
        const { options } = pageFind(list);
        const fields = [...(list.contains ? [list.contains.field] : []), ...Object.keys(list.equals ?? {})];
        const index = indexes.find(({ name }) => name === options.hint);
        expect(Object.keys(index?.key ?? {})).toEqual([...fields, list.sort.field, '_id']);
      }
    });

    it('walks that index for every page and sorts nothing, if the server supports `explain`', async () => {
      for (const list of lists()) {
        const { filter, options } = pageFind(list);
        const cursor = client.db(database).collection<StoredFields>(BUILD).find(filter, options);
        const plan = await whereSupported(cursor.explain('queryPlanner'));
        if (plan === undefined) return;
        const steps = JSON.stringify((plan as { queryPlanner: { winningPlan: unknown } }).queryPlanner.winningPlan);
        expect(steps).toContain('IXSCAN');
        expect(steps).not.toMatch(/"(COLLSCAN|SORT|SORT_MERGE)"/);
      }
    });

    it('refuses a prefix of another field than the sort’s, and fields that are paths or operators', async () => {
      const sort = { field: 'title', direction: 'asc' } as const;
      await expect(store.find(BUILD, { prefix: { field: 'rank', value: 'a' }, sort, limit: 1 })).rejects.toThrow(
        TypeError,
      );
      for (const field of ['$where', 'title.x', '_id', '']) {
        await expect(store.find(BUILD, { equals: { [field]: 'x' }, sort, limit: 1 })).rejects.toThrow(TypeError);
        await expect(store.find(BUILD, { sort: { ...sort, field }, limit: 1 })).rejects.toThrow(TypeError);
        const contains = { field, value: 'x' };
        await expect(store.find(BUILD, { contains, sort, limit: 1 })).rejects.toThrow(TypeError);
      }
    });

    it.each(['projections', 'system.views', 'notes_v1', '_v1_1', 'notes_v1_1.tags', 'notes$_v1_1'])(
      'takes no name of a build like %j',
      async (name) => {
        const build = name as typeof BUILD;
        await expect(store.prepare(build, notes)).rejects.toThrow(TypeError);
        await expect(store.read(build, ['n1'])).rejects.toThrow(TypeError);
        await expect(store.drop(build)).rejects.toThrow(TypeError);
      },
    );

    it('adds the indexes of a later schema, and keeps the documents', async () => {
      await store.prepare('later_v1_1', { name: 'later', version: 1, indexes: [['title']] });
      await store.write('later_v1_1', [write('n1', { workspace: 'w', title: 't', tags: ['x'] })]);
      await store.prepare('later_v1_1', { ...notes, name: 'later' });
      const sort = { field: 'title', direction: 'asc' } as const;
      const contains = { field: 'tags', value: 'x' };
      const found = await store.find('later_v1_1', { equals: { workspace: 'w' }, contains, sort, limit: 5 });
      expect(found.map(({ id }) => id)).toEqual(['n1']);
    });

    it('stores a document’s fields beside its own, and leaves out undefined ones', async () => {
      await store.write(BUILD, [write('n1', { title: 't', rank: undefined, tags: ['x'] })]);
      const stored = await client.db(database).collection(BUILD).findOne({}, { useBigInt64: true });
      expect(stored).toEqual({ _id: 'n1', _position: '0001', _revision: 0n, title: 't', tags: ['x'] });
    });

    it('says that a build is missing rather than empty, and does not create it by a write', async () => {
      await store.prepare('notes_v1_2', notes);
      await store.drop('notes_v1_2');
      for (const build of ['notes_v1_2', 'notes_v9_9'] as const) {
        const calls = [
          () => store.count(build),
          () => store.read(build, ['n1']),
          () => store.find(build, { sort: { field: 'title', direction: 'asc' }, limit: 1 }),
          () => store.scan(build, undefined, 1),
          () => store.write(build, [write('n1')]),
        ];
        for (const call of calls) await expect(call()).rejects.toBeInstanceOf(ReadStoreUnavailable);
      }
      expect((await collections()).toSorted()).toEqual([BUILD, 'projections']);
    });

    it('never uses the name of a dropped build again, and drops what a late write has left under it', async () => {
      const build = 'notes_v1_2';
      await store.prepare(build, notes);
      await store.drop(build);
      await client.db(database).collection(build).insertOne({ title: 'written late' });
      for (const begin of [store.prepare.bind(store), store.prepareToLoad.bind(store)]) {
        const refused = begin(build, notes);
        await expect(refused).rejects.toThrow(RebuildNeeded);
        await expect(refused).rejects.toThrow('notes_v1_2 was dropped');
      }
      expect((await store.builds('notes', 1)).map((each) => each.build)).toEqual([BUILD]);
      expect(await store.nextBuild(notes)).toBe('notes_v1_3');
      await store.prepare('notes_v1_3', notes);
      expect((await collections()).toSorted()).toEqual([BUILD, 'notes_v1_3', 'projections']);
    });

    it('keeps the build that an earlier release has begun under the name of a dropped build', async () => {
      const build = 'notes_v1_2';
      await store.serve(notes, undefined, BUILD);
      await store.prepare(build, notes);
      await store.drop(build);
      // Earlier releases enter and remove builds without regard to the names of dropped builds.
      const entry = client.db(database).collection<{ _id: string }>('projections');
      await entry.updateOne({ _id: 'notes_v1' }, { $set: { [`builds.${build}`]: {} } });
      await store.write(build, [write('n1')]);
      expect(await store.serve(notes, BUILD, build)).toBe(true);
      await entry.updateOne({ _id: 'notes_v1' }, { $unset: { [`builds.${BUILD}`]: '' } });

      await store.prepare(build, notes);
      expect(await store.count(build)).toBe(1);
      await store.prepare(await store.nextBuild(notes), notes);
      expect(await store.count(build)).toBe(1);
    });

    it('drops no leftover under the name that an earlier release would give to its next build', async () => {
      await store.prepare('notes_v1_2', notes);
      await store.drop('notes_v1_2');
      await client.db(database).collection('notes_v1_2').insertOne({ title: 'written late' });
      await store.prepare(BUILD, notes);
      expect(await collections()).toContain('notes_v1_2');
      await store.prepare('notes_v1_3', notes);
      expect(await collections()).not.toContain('notes_v1_2');
    });

    it('begins no build on documents that belong to none, and leaves them alone', async () => {
      await client.db(database).collection('notes_v1_2').insertOne({ title: 'restored in part' });
      const refused = store.prepare('notes_v1_2', notes);
      await expect(refused).rejects.toThrow(RebuildNeeded);
      await expect(refused).rejects.toThrow('notes_v1_2 is not registered, but its collection holds documents');
      expect(await store.nextBuild(notes)).toBe('notes_v1_3');
      expect(await collections()).toContain('notes_v1_2');
    });

    it('reads from and writes to the majority, and retries nothing, whatever the connection string says', async () => {
      const relay = await MongoRelay.start(mongo.url);
      const careless = 'w=0&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=true';
      const relayed = await openMongoReadStore({ url: `${relay.url}&${careless}`, database });
      relay.forget();
      await relayed.write(BUILD, [write('n1')]);
      await relayed.read(BUILD, ['n1']);
      await relayed.close();
      await relay.close();
      const sent = relay.sent();
      expect(sent).toContain(fieldOf('w', 'majority'));
      expect(sent).toContain(fieldOf('level', 'majority'));
      expect(sent).not.toMatch(/local|secondary|txnNumber/);
    });

    it('makes the server stop a walk along a list that its caller no longer waits for', async () => {
      const relay = await MongoRelay.start(mongo.url);
      const relayed = await openMongoReadStore({ url: relay.url, database, timeoutMs: 4_000 });
      const limits: [string, unknown][] = [];
      relay.answer((command) => {
        const [name = ''] = Object.keys(command);
        if (command[name] === BUILD) limits.push([name, command.maxTimeMS]);
        return undefined;
      });
      try {
        for (const query of lists()) await relayed.find(BUILD, query);
      } finally {
        await relayed.close();
        await relay.close();
      }
      expect(new Set(limits.map(([name]) => name))).toEqual(new Set(['find', 'aggregate']));
      expect(limits.filter(([, limit]) => limit !== 4_000)).toEqual([]);
    });

    it('reads and writes lists of any length, in messages that MongoDB takes', async () => {
      const relay = await MongoRelay.start(mongo.url);
      const relayed = await openMongoReadStore({ url: relay.url, database });
      const many = Array.from({ length: 180_000 }, (_, index) => `${'i'.repeat(100)}${index}`);
      const written = many.slice(0, 2_500);
      try {
        relay.forget();
        const writes = written.map((id) => write(id));
        expect(await relayed.write(BUILD, writes)).toEqual([]);
        const found = await relayed.read(BUILD, many.toReversed());
        expect(found.map(({ id }) => id).toSorted()).toEqual(written.toSorted());
        expect(relay.largestMessage).toBeGreaterThan(0);
        expect(relay.largestMessage).toBeLessThan(16 * 1024 * 1024);
      } finally {
        await relayed.close();
        await relay.close();
      }
    });

    it('sends the schema with each collection, and points the views to a build when it is served, on any server', async () => {
      const relay = await MongoRelay.start(mongo.url);
      const relayed = await openMongoReadStore({ url: relay.url, database });
      const build = `${clients.name}_v${clients.version}_1` as const;
      relay.forget();
      await relayed.prepare(build, clients);
      expect(relay.sent()).toContain(fieldOf('create', build));
      expect(relay.sent()).toContain('$jsonSchema');
      expect(relay.sent()).not.toContain('viewOn');
      relay.forget();
      await relayed.prepare(build, clients);
      expect(relay.sent()).toContain(fieldOf('collMod', build));
      relay.forget();
      await relayed.serve(clients, undefined, build);
      for (const view of ['active_clients', 'revoked_clients']) {
        expect(relay.sent()).toContain(fieldOf('collMod', view) + fieldOf('viewOn', build));
      }
      await relayed.close();
      await relay.close();
    });

    describe('through a relay', () => {
      let relay: MongoRelay;
      let relayed: ReadStore;

      beforeEach(async () => {
        relay = await MongoRelay.start(mongo.url);
        relayed = await openMongoReadStore({ url: relay.url, database });
      });
      afterEach(async () => {
        await relayed.close();
        await relay.close();
      });

      /** Lets the server refuse single documents of the next writes, as `mongod` does: `ok: 1` and no names. */
      const refuseDocuments = (command: string, codes: readonly number[], rest: Document = {}) => {
        const writeErrors = codes.map((code, index) => ({ index, code, errmsg: 'title: "a secret"' }));
        relay.answer((sent) => (command in sent ? { ok: 1, n: 0, writeErrors, ...rest } : undefined));
      };

      it('names all that fails in a write, wherever it stands, and quotes no document', async () => {
        const writes = [write('n1'), write('n2')];
        for (const [codes, named] of [
          [[11000, 121], 'DocumentValidationFailure'],
          [[121, 11000], 'DocumentValidationFailure'],
          [[11000, 112], 'WriteConflict'],
          [[112, 121], 'WriteConflict, DocumentValidationFailure'],
        ] as const) {
          refuseDocuments('insert', codes);
          const error: unknown = await relayed.write(BUILD, writes).catch((thrown: unknown) => thrown);
          expect(error).toBeInstanceOf(ReadStoreUnavailable);
          expect(error).toMatchObject({ message: `MongoDB refused it: ${named}` });
          expect(error).not.toHaveProperty('cause');
        }
        refuseDocuments('insert', [11000, 121], { writeConcernError: { code: 64, errmsg: 'waited' } });
        await expect(relayed.write(BUILD, writes)).rejects.toThrow('DocumentValidationFailure, WriteConcernTimeout');
      });

      it('takes a document that is stored already for a miss, also where the server refuses the whole command', async () => {
        await store.write(BUILD, [write('n1', { title: 'kept' })]);
        const writes = [write('n1', { title: 'late' }), write('n2')];
        for (const answer of [{ ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000 }] }, refusal(11000)]) {
          relay.answer((sent) => ('insert' in sent ? answer : undefined));
          expect(await relayed.write(BUILD, writes)).toEqual(['n1', 'n2']);
        }
        relay.answer();
        expect(await relayed.write(BUILD, writes)).toEqual(['n1']);
      });
    });

    describe('on a server that answers otherwise', () => {
      let relay: MongoRelay;
      let opened: ReadStore[];

      beforeEach(async () => {
        opened = [];
        relay = await MongoRelay.start(mongo.url);
      });
      afterEach(async () => {
        await Promise.all(opened.map((each) => each.close()));
        await relay.close();
      });

      const open = async (options: Partial<MongoReadStoreOptions> = {}) => {
        const each = await openMongoReadStore({ url: relay.url, database, ...options });
        opened.push(each);
        return each;
      };
      const changesForm = (sent: Document) => 'validator' in sent || 'viewOn' in sent || 'collMod' in sent;

      it.each<[string, Document]>([
        ['Azure DocumentDB', refusal(115, { codeName: 'CommandNotSupported' })],
        ['another one on the same engine', refusal(9)],
        ['FerretDB 1', refusal(238, { codeName: 'NotImplemented' })],
        ['Amazon DocumentDB', refusal(303, { errmsg: 'Feature not supported: validator' })],
        ['mongo-java-server', refusal(59, { codeName: 'CommandNotFound' })],
      ])('works without validators and views, and warns once: %s', async (_, answer) => {
        relay.answer((sent) => (changesForm(sent) ? answer : undefined));
        const warnings: string[] = [];
        const simple = await open({ onWarning: (message) => warnings.push(message) });
        const builds = ['clients_v4_1', 'clients_v4_2'] as const;
        for (const build of [...builds, ...builds]) await simple.prepare(build, clients);
        expect(await simple.serve(clients, undefined, 'clients_v4_1')).toBe(true);
        await simple.prepare('clients_v4_1', clients);
        expect(await simple.write('clients_v4_1', [write('n1')])).toEqual([]);
        expect(await simple.count('clients_v4_1')).toBe(1);
        expect(warnings).toEqual([
          expect.stringMatching(/^MongoDB has no validation here \(\w.*\): it stores documents without checking/),
          expect.stringMatching(/^MongoDB has no views here/),
        ]);
      });

      it.each([
        [13, 'Unauthorized'],
        [11602, 'InterruptedDueToReplStateChange'],
      ])('does without nothing that is only refused now (%i %s)', async (code, codeName) => {
        const warnings: string[] = [];
        const refused = await open({ onWarning: (message) => warnings.push(message) });
        relay.answer((sent) => (changesForm(sent) ? refusal(code, { codeName }) : undefined));
        await expect(refused.prepare('clients_v4_1', clients)).rejects.toThrow(`MongoDB refused it: ${codeName}`);
        expect(warnings).toEqual([]);
      });

      it.each([
        ['', 'consumer_clients'],
        ['/', 'consumer_clients'],
        ['?appName=/x', 'consumer_clients'],
        ['/?appName=/x', 'consumer_clients'],
        ['/named_for_tests', 'named_for_tests'],
        ['/named%2Dfor-tests?appName=/x', 'named-for-tests'],
      ])('reads the database’s name from the connection string: %j', async (rest, name) => {
        const [, server = ''] = /^(mongodb:\/\/[^/]+)/.exec(relay.url) ?? [];
        // Some servers make a database when it is read.
        relay.answer((sent) =>
          sent.$db === name ? { ok: 1, cursor: { id: 0n, ns: `${name}.x`, firstBatch: [] } } : undefined,
        );
        const read = await openMongoReadStore({ url: `${server}${rest}` });
        await read.close();
        expect(relay.sent()).toContain(fieldOf('$db', name));
      });

      it.each([
        'promoteValues=false',
        'promoteLongs=false&useBigInt64=false',
        'useBigInt64=true',
        'raw=true&bsonRegExp=true',
        'promoteBuffers=true&ignoreUndefined=true&checkKeys=true&serializeFunctions=true',
      ])('reads and writes the same values, whatever form the connection string asks for: %s', async (form) => {
        const formed = await open({ url: `${relay.url}&${form}` });
        const document = {
          ...write('n1', { title: 't', rank: 1.5, large: 2 ** 40, nested: [{ $in: 1 }] }),
          revision: 2n ** 53n,
        };
        await formed.prepare(BUILD, notes);
        expect(await formed.write(BUILD, [document])).toEqual([]);
        expect(await formed.write(BUILD, [document])).toEqual([]);
        const { expected: _, ...stored } = document;
        expect(await formed.read(BUILD, ['n1'])).toEqual([stored]);
        expect(await formed.scan(BUILD, undefined, 5)).toEqual([stored]);
        expect(await formed.count(BUILD)).toBe(1);
        const at = { logId: 'log', position: '0001', eventId: 'e' };
        expect(await formed.advance(BUILD, undefined, at)).toBe(true);
        expect(await formed.checkpoint(BUILD)).toEqual(at);
        const lease = { holder: 'a', turn: 1, ttlMs: 2_000 };
        expect(await formed.setLease(BUILD, undefined, lease)).toBe(true);
        expect(await formed.lease(BUILD)).toEqual(lease);
        expect(await formed.builds('notes', 1)).toEqual([{ build: BUILD, checkpoint: at, served: false }]);
      });

      it('refuses a direct connection to a secondary, also one that was the primary before', async () => {
        const secondary = {
          ...{ ok: 1, ismaster: false, secondary: true, setName: 'rs0', hosts: ['127.0.0.1:9'] },
          ...{ minWireVersion: 0, maxWireVersion: 13, maxBsonObjectSize: 16_777_216, maxWriteBatchSize: 100_000 },
        };
        const stepDown = () => {
          relay.answer((sent) => ('ismaster' in sent || 'isMaster' in sent || 'hello' in sent ? secondary : undefined));
        };
        const url = `${relay.url}&heartbeatFrequencyMS=500`;
        const direct = await open({ url });
        stepDown();
        const refusals = async () => {
          const error: unknown = await direct.read(BUILD, []).catch((thrown: unknown) => thrown);
          return error instanceof ReadStoreUnavailable && error.message.includes('directConnection');
        };
        await until(refusals);
        await expect(open({ url })).rejects.toThrow('not the primary here (RSSecondary), and directConnection forbids');
        relay.answer();
        await until(async () => !(await refusals()));
        expect(await direct.read(BUILD, [])).toEqual([]);
      });

      it('waits longer for a large call than for a small one', async () => {
        const timeoutMs = 500;
        const slow = await open({ timeoutMs });
        let delayMs = 2 * timeoutMs;
        relay.answer(async (sent) => {
          const isWrite = 'insert' in sent;
          if (isWrite || sent.find === BUILD) await delay(delayMs);
          return isWrite ? { ok: 1, n: (sent.documents as Document[]).length } : undefined;
        });
        const tooLate = `MongoDB does not answer within ${timeoutMs} ms`;
        await expect(slow.write(BUILD, [write('small')])).rejects.toThrow(tooLate);
        await expect(slow.read(BUILD, ['small'])).rejects.toThrow(tooLate);
        const many = Array.from({ length: 2_000 }, (_, index) => write(`n${index}`));
        expect(await slow.write(BUILD, many)).toEqual([]);
        expect(
          await slow.read(
            BUILD,
            many.map(({ id }) => id),
          ),
        ).toEqual([]);
        expect(await slow.scan(BUILD, undefined, many.length)).toEqual([]);
        const patient = await open({ timeoutMs: 3_000 });
        delayMs = 3_500;
        const large = Array.from({ length: 2 }, (_, index) => write(`large${index}`, { text: 'x'.repeat(10_000_000) }));
        expect(await patient.write(BUILD, large)).toEqual([]);
      });
    });

    describe('with a drop that MongoDB carries out late', () => {
      let relay: MongoRelay;
      let slow: ReadStore;
      let reached: Promise<void>;
      let carryOut: () => void;

      beforeEach(async () => {
        relay = await MongoRelay.start(mongo.url);
        slow = await openMongoReadStore({ url: relay.url, database });
        const opened = new EventEmitter();
        const open = once(opened, 'open');
        reached = new Promise((resolve) => {
          relay.answer(async (sent) => {
            if (!('drop' in sent)) return undefined;
            resolve();
            await open;
            return undefined;
          });
        });
        carryOut = () => opened.emit('open');
      });
      afterEach(async () => {
        await slow.close();
        await relay.close();
      });

      const loaded = async () => {
        const build = await store.nextBuild(notes);
        await store.prepareToLoad(build, notes);
        const next = { logId: 'log', position: '0003', eventId: 'e' };
        const writes = ['n1', 'n2', 'n3'].map((id) => write(id));
        expect(await store.load(build, { writes, expected: undefined, next })).toBe(true);
        return build;
      };

      it.each<[string, () => Promise<unknown>]>([
        ['the drop of a build', () => slow.drop('notes_v1_2')],
        [
          'the drop of what a late write has left',
          async () => {
            await store.drop('notes_v1_2');
            await client.db(database).collection('notes_v1_2').insertOne({ title: 'written late' });
            await slow.prepare('notes_v1_3', notes);
          },
        ],
      ])('loses no document of the build that another process begins meanwhile: %s', async (_, dropLate) => {
        await store.prepare('notes_v1_2', notes);
        const dropping = Promise.allSettled([dropLate()]);
        await reached;
        const build = await loaded();
        carryOut();
        await dropping;
        expect(await store.count(build)).toBe(3);
        expect((await store.checkpoint(build))?.position).toBe('0003');
      });
    });

    it('is relayed with the credentials and options of its URL', () => {
      const through = 'mongodb://u:p%40ss@127.0.0.1:9/db?authSource=admin&directConnection=true';
      expect(urlThrough('mongodb://u:p%40ss@m1:1,m2:2/db?authSource=admin&replicaSet=rs0', 9)).toBe(through);
      expect(urlThrough('mongodb://m1', 9)).toBe('mongodb://127.0.0.1:9/?directConnection=true');
      expect(urlThrough('mongodb://u:p@m1/db', 9, 'other')).toBe(
        'mongodb://u:p@127.0.0.1:9/other?authSource=db&directConnection=true',
      );
      expect(inDatabase('mongodb://u:p@m1:1,m2:2/db?w=1', 'other')).toBe(
        'mongodb://u:p@m1:1,m2:2/other?w=1&authSource=db',
      );
      expect(inDatabase('mongodb://m1', 'other')).toBe('mongodb://m1/other');
    });

    it('soon says that no server is there, and refuses an invalid connection string without quoting it', async () => {
      const opened = openMongoReadStore({ url: 'mongodb://127.0.0.1:9/?connectTimeoutMS=60000', timeoutMs: 300 });
      await expect(opened).rejects.toBeInstanceOf(ReadStoreUnavailable);
      const error: unknown = await openMongoReadStore({ url: 'http://user:s3cret@host' }).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).not.toContain('s3cret');
    });

    describe('as the store of the projections', () => {
      let stage: Stage;

      beforeEach(async () => {
        stage = await Stage.open();
        await stage.register('weather');
        for (const label of ['a', 'b', 'c']) await stage.create(label);
        await stage.rename('b', 'Böen 🔑');
        await stage.assign('a', 'weather');
        await stage.assign('c', 'weather');
        await stage.used('a-process', { [clientNamed('a')]: new Date().toISOString() });
        await stage.revoke('c');
      });

      afterEach(() => stage.close());

      it('holds their folds, which match the schema for analysts, and no verifier', async () => {
        const events = await stage.events();
        for (const projection of readModels) {
          const build = await project(stage, store, projection);
          expect(await storedDocuments(store, build)).toEqual(plainFold(projection, events));
          const validator = projection.document && validatorOf(projection.document);
          const stored = await client.db(database).collection(build, { promoteValues: false }).find().toArray();
          expect(stored.length).toBeGreaterThan(0);
          for (const document of stored) expect(violations(document, validator?.$jsonSchema)).toEqual([]);
          expect(JSON.stringify(stored)).not.toContain(VERIFIER_MARK);
        }
      });

      it('makes MongoDB refuse documents that violate the schema, if the server validates', async () => {
        const build = await project(stage, store, clients);
        const options = await client.db(database).listCollections({ name: build }).toArray();
        if (!JSON.stringify(options).includes('$jsonSchema')) return;
        const [stored] = await store.scan(build, undefined, 1);
        const refused = store.write(build, [write('cc_x', { ...(stored?.doc as object), verifier: 'x' })]);
        await expect(refused).rejects.toThrow('MongoDB refused it: DocumentValidationFailure');
      });

      describe('when MongoDB refuses to change a view after the switch', () => {
        let relay: MongoRelay;
        let relayed: ReadStore;
        /** The builds that the views were made to show, in the order of the commands that were not refused. */
        let shown: [view: string, build: string][];
        let refused: string;
        let refusals: number;
        let first: BuildName;
        let replaced: BuildName | undefined;

        beforeEach(async () => {
          relay = await MongoRelay.start(mongo.url);
          relayed = await openMongoReadStore({ url: relay.url, database });
          first = await project(stage, store, clients);
          shown = [];
          replaced = undefined;
          relay.answer((sent) => {
            if (!('collMod' in sent && 'viewOn' in sent)) return undefined;
            const view = sent.collMod as string;
            if (sent.viewOn !== replaced && view === refused && refusals-- > 0) {
              return refusal(24, { codeName: 'LockTimeout' });
            }
            shown.push([view, sent.viewOn as string]);
            return { ok: 1 };
          });
        });
        afterEach(async () => {
          await relayed.close();
          await relay.close();
        });

        const views = ['active_clients', 'revoked_clients'];
        const serveFirst = async () => {
          await store.serve(clients, undefined, first);
          replaced = first;
        };
        const rebuildNow = () => {
          const { signal } = new AbortController();
          return rebuild({
            ...stage.stores,
            store: relayed,
            projection: clients,
            observer: silent,
            signal,
            graceMs: 0,
          });
        };
        const buildNames = async () => (await store.builds('clients', 4)).map(({ build }) => build);

        it.each(views)('a rebuild completes the switch and drops the replaced build: %s', async (view) => {
          await serveFirst();
          [refused, refusals] = [view, 1];
          expect(await rebuildNow()).toMatchObject({ build: 'clients_v4_2', replaced: first });
          expect(shown.slice(-2)).toEqual(views.map((view) => [view, 'clients_v4_2']));
          expect(await buildNames()).toEqual(['clients_v4_2']);
        });

        it('a rebuild tells the refusal, keeps the build that the views show, and the next start completes it', async () => {
          await serveFirst();
          [refused, refusals] = ['revoked_clients', Infinity];
          await expect(rebuildNow()).rejects.toThrow('MongoDB refused it: LockTimeout');
          expect(await store.served('clients', 4)).toBe('clients_v4_2');
          expect(await buildNames()).toEqual([first, 'clients_v4_2']);
          refusals = 0;
          await relayed.prepare('clients_v4_2', clients);
          expect(shown.slice(-2)).toEqual(views.map((view) => [view, 'clients_v4_2']));
        });

        it('a first build is served, and its views are made', async () => {
          [refused, refusals] = ['active_clients', 1];
          const stop = new AbortController();
          const options = {
            ...stage.stores,
            store: relayed,
            projection: clients,
            observer: { ...silent, stopped: () => undefined },
            checkMs: 10,
          };
          const running = new ServedProjection(options).run(stop.signal);
          await until(() => Promise.resolve(shown.length >= 2));
          stop.abort();
          await running;
          expect(await store.served('clients', 4)).toBe(first);
          expect(shown.slice(-2)).toEqual(views.map((view) => [view, first]));
        });
      });

      it('rebuilds beside the served build and switches; the views follow, if the server has views', async () => {
        const first = await project(stage, store, clients);
        await store.serve(clients, undefined, first);
        const { signal } = new AbortController();
        const options = { ...stage.stores, store, projection: clients, observer: silent, signal, graceMs: 0 };
        expect(await rebuild(options)).toMatchObject({ build: 'clients_v4_2', documents: 3, different: 0 });
        const made = await collections();
        expect(made).toContain('clients_v4_2');
        expect(made).not.toContain(first);
        expect((await client.db(database).collection('projections').findOne({ name: 'clients' }))?.served).toBe(
          'clients_v4_2',
        );
        if ((await whereSupported(client.db(database).command({ collMod: BUILD }))) === undefined) {
          expect(made).not.toContain('active_clients');
          return;
        }
        const named = async (view: string) =>
          (await client.db(database).collection(view).find().sort({ name: 1 }).toArray()).map(
            ({ name }) => name as string,
          );
        expect(await named('active_clients')).toEqual(['Böen 🔑', 'Client a']);
        expect(await named('revoked_clients')).toEqual(['Client c']);
      });
    });
  });
});

describeWithOwnMongo('a MongoDB server that fails', () => {
  let directory: string;
  let mongo: MongoProcess;
  let store: ReadStore;
  let stage: Stage;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mongo-faults-'));
    mongo = await startMongo({ file: join(directory, 'data') });
    store = await openMongoReadStore({ url: mongo.url, timeoutMs: 1_000 });
    stage = await Stage.open();
  });

  afterEach(async () => {
    await store.close();
    await stage.close();
    await mongo.stop();
    await rm(directory, { recursive: true });
  });

  it('keeps its port while it is down, and says soon that its port is taken', async () => {
    const port = Number(new URL(mongo.url).port);
    const [lowest, highest] = (await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'))
      .split(/\s+/)
      .map(Number);
    expect(port < (lowest ?? 0) || port > (highest ?? 0)).toBe(true);
    // Once the server's own start limit is reached, the launcher would kill it and fail, too.
    const refused = () => expect(startMongo({ port })).rejects.toThrow('MongoDB did not start');
    expect(await idleMs(refused)).toBeLessThan(START_MS / 2);
  });

  it('is reported as ReadStoreUnavailable in time while it hangs, and is used again when it is back', async () => {
    await store.prepare(BUILD, notes);
    process.kill(mongo.pid ?? 0, 'SIGSTOP');
    const refused = async () => {
      const write1 = store.write(BUILD, [write('n1')]);
      const calls = [write1, store.read(BUILD, ['n1']), store.checkpoint(BUILD), store.ping()];
      for (const call of calls) await expect(call).rejects.toBeInstanceOf(ReadStoreUnavailable);
    };
    expect(await idleMs(refused)).toBeLessThan(3_000);
    process.kill(mongo.pid ?? 0, 'SIGCONT');
    await until(() =>
      store.ping().then(
        () => true,
        () => false,
      ),
    );
    // The server may have carried out the write that timed out. A document is written only if the stored document is at
    // the position that the write expects. So repeating the write does no harm.
    expect([[], ['n1']]).toContainEqual(await store.write(BUILD, [write('n1')]));
    expect(await store.count(BUILD)).toBe(1);
  });

  it('makes a projector wait, which continues from the checkpoint of a server that came back older', async () => {
    await stage.create('a');
    const build = await project(stage, store, clients);
    await mongo.stop();
    const older = join(directory, 'older');
    await cp(join(directory, 'data'), older, { recursive: true });
    await mongo.restart();

    const stop = new AbortController();
    const outages: string[] = [];
    const observer = {
      outageBegan: (error: Error) => outages.push(error.name),
      outageEnded: () => outages.push('over'),
    };
    const projector = new Projector({ ...stage.stores, store, projection: clients, build, observer });
    const running = projector.run(stop.signal);
    await until(() => projector.status().state === 'live');
    await stage.create('b');
    await until(async () => (await store.count(build)) === 2);
    await mongo.kill();
    await rm(join(directory, 'data'), { recursive: true });
    await cp(older, join(directory, 'data'), { recursive: true });
    await stage.create('c');
    await until(() => outages.length > 0);
    await mongo.restart();
    await until(() => outages.includes('over'));
    await until(() => projector.status().state === 'live');
    stop.abort();
    await running;

    expect(outages[0]).toBe(ReadStoreUnavailable.name);
    expect(projector.status().error).not.toBeInstanceOf(ProjectionStopped);
    expect(await storedDocuments(store, build)).toEqual(plainFold(clients, await stage.events()));
  });
});

/** Copies a database. Resolves to a function that restores the copy, as `mongodump` and `mongorestore` do. */
async function dump(client: MongoClient, name: string): Promise<() => Promise<void>> {
  const database = client.db(name);
  const collections = await database.listCollections({ type: 'collection' }, { nameOnly: true }).toArray();
  const dumped = await Promise.all(
    collections.map(async (each) => {
      const collection = database.collection(each.name, { promoteValues: false });
      return { collection, documents: await collection.find().toArray(), indexes: await collection.indexes() };
    }),
  );
  return async () => {
    await database.dropDatabase();
    for (const { collection, documents, indexes } of dumped) {
      if (documents.length > 0) await collection.insertMany(documents);
      const wanted = indexes.filter(({ key }) => Object.keys(key).join() !== '_id');
      if (wanted.length > 0) await collection.createIndexes(wanted.map(({ name = '', key }) => ({ name, key })));
    }
  };
}

type Schema = ReturnType<typeof validatorOf>['$jsonSchema'];

/**
 * Returns the paths of all values that MongoDB's `$jsonSchema` would refuse. Supports only the keywords that we use.
 */
function violations(value: unknown, schema: Schema | undefined, path = ''): string[] {
  if (schema === undefined) return [`${path} is not documented`];
  if (bsonTypeOf(value) !== schema.bsonType) return [`${path}: ${bsonTypeOf(value)}`];
  if (schema.enum && !schema.enum.includes(value as string)) return [`${path}: ${String(value)}`];
  if (Array.isArray(value)) return value.flatMap((item, index) => violations(item, schema.items, `${path}[${index}]`));
  if (bsonTypeOf(value) !== 'object') return [];
  const fields = value as Record<string, unknown>;
  const { properties = {}, required = [], additionalProperties = true } = schema;
  return [
    ...required.filter((field) => !(field in fields)).map((field) => `${path}.${field} is missing`),
    ...Object.keys(fields).flatMap((field) => {
      return additionalProperties && !(field in properties)
        ? []
        : violations(fields[field], properties[field], `${path}.${field}`);
    }),
  ];
}

function bsonTypeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (value instanceof Int32) return 'int';
  if (value instanceof Long) return 'long';
  return value === null ? 'null' : typeof value;
}
