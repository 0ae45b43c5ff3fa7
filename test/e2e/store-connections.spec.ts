import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { describeOnStandIn, type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import {
  describeWithMongo,
  type MongoProcess,
  type NewDatabase,
  newDatabase,
  startMongo,
} from '../servers/mongodb/mongo-server.js';
import { MongoRelay, refusal } from '../servers/mongodb/relay.js';
import { eventually } from '../support/api/http.js';
import { TlsFront } from '../support/doubles/tls-front.js';
import { CertificateAuthority } from '../support/processes/certificates.js';
import { processSecrets } from '../support/processes/process-secrets.js';
import { type Environment, Program } from '../support/processes/program.js';
import { Service, type ServiceName } from '../support/processes/service.js';
import { paste, shellBlocks } from '../support/processes/shell-blocks.js';

const PASSWORD = 'hunter2hunter2';
/** An address at which no server answers, for the store that a test is not about. */
const NOBODY = 'mongodb://127.0.0.1:1/clients';

/** The same for all processes, because the tests of one store share its log. */
const secrets = processSecrets();

let folder: string;
let authority: CertificateAuthority;
let otherAuthority: CertificateAuthority;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-connections-'));
  authority = new CertificateAuthority();
  otherAuthority = new CertificateAuthority('Another authority');
});
afterAll(() => {
  authority.remove();
  otherAuthority.remove();
  rmSync(folder, { recursive: true });
});

const services: Service[] = [];
async function stopServices(): Promise<void> {
  await Promise.all(services.splice(0).map((service) => service.stop()));
}
afterEach(stopServices);

async function start(name: ServiceName, env: Environment): Promise<Service> {
  const service = await Service.start(name, { ...secrets, ...env });
  services.push(service);
  return service;
}

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly err?: { readonly message: string };
}

const linesOf = (service: Service): string[] => service.output().split('\n').slice(0, -1);

/** The warnings of a process. */
const warningsOf = (service: Service): Line[] =>
  linesOf(service)
    .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Line] : []))
    .filter(({ level }) => level === 'warn');

/**
 * Resolves to the reason for which the process waits for the store, as soon as it has logged one with this text, and
 * expects that it logs it once. A busy machine may make it say first that nobody has answered in time.
 */
async function reasonToWait(service: Service, store: 'event log' | 'read store', text: string): Promise<string> {
  const reasons = () =>
    warningsOf(service).flatMap(({ msg, err }) => (msg === `the ${store} can’t be used` && err ? [err.message] : []));
  const told = await eventually(
    () => Promise.resolve(reasons().filter((reason) => reason.includes(text))),
    ({ length }) => length > 0,
  );
  expect(told).toHaveLength(1);
  const { status, text: checks } = await service.readiness();
  expect([status, checks]).toEqual([503, expect.stringContaining(`"${store}":"down"`)]);
  expect(service.output()).not.toContain(PASSWORD);
  return told[0] ?? '';
}

/** The options with which the driver sends an append as a call of its own. */
const account = (username: string) => ({ credentials: { username, password: PASSWORD } });

/** The wrong settings of TLS that both stores must name. `%` stands for the server's address. */
const wrongTls = (): readonly [options: string, reason: string][] => [
  [`tls=true&tlsCAFile=${otherAuthority.file}`, '% is not from the authority in tlsCAFile'],
  ['tls=true', '% is from an authority that this machine does not know: name its file in tlsCAFile'],
  ['tls=false', '% expects TLS, which the connection string switches off (tls=true switches it on)'],
];

/** Starts a process for each URL. Expects that each waits for the store, for a reason that contains its text. */
const expectReasons = (
  store: 'event log' | 'read store',
  startWith: (url: string) => Promise<Service>,
  cases: readonly (readonly [url: string, reason: string])[],
) => Promise.all(cases.map(async ([url, reason]) => reasonToWait(await startWith(url), store, reason)));

describeOnStandIn('a process that EventStoreDB lets in only with TLS, an account and rights', () => {
  let store: EventStore;
  let front: TlsFront;
  let admin: EventStoreDBClient;
  beforeAll(async () => {
    store = await startEventStore({ account: ['admin:changeit:$admins', `consumer-clients:${PASSWORD}`] });
    front = await TlsFront.start(store.port, authority.issue());
    admin = EventStoreDBClient.connectionString(`esdb://admin:changeit@localhost:${front.port}?${tls()}`);
  });
  beforeEach(async () => {
    await allow();
    await admin.setStreamMetadata('$all', { acl: { readRoles: ['consumer-clients', '$admins'] } });
  });
  afterAll(async () => {
    await admin.dispose();
    await front.stop();
    await store.stop();
  });

  const at = (nodes: string, options: string, password = PASSWORD) =>
    `esdb://consumer-clients:${password}@${nodes}?${options}`;
  const url = (options: string, password = PASSWORD) => at(`127.0.0.1:${front.port}`, options, password);
  const tls = () => `tls=true&tlsCAFile=${authority.file}`;
  const startWith = (connection: string) => start('auth', { EVENTSTOREDB_URL: connection });

  /** Sets the default access list: our account has these rights, except for `missing`. */
  async function allow(missing?: string): Promise<void> {
    const rights = ['$r', '$w', '$mr', '$mw'].map((right) => [
      right,
      right === missing ? ['$admins'] : ['consumer-clients', '$admins'],
    ]);
    const lists = { $userStreamAcl: Object.fromEntries(rights) as Record<string, string[]> };
    await admin.appendToStream('$settings', jsonEvent({ type: 'update-default-acl', data: lists }));
  }

  it('waits, and names what is wrong with TLS', async () => {
    const node = `127.0.0.1:${front.port}`;
    const told = await expectReasons('event log', startWith, [
      ...wrongTls().map(([options, reason]) => [url(options), reason.replace('%', node)] as const),
      [
        at(`127.0.0.1:${store.port}`, tls()),
        `127.0.0.1:${store.port} answers without TLS, which the connection string asks for (tls=false switches it off)`,
      ],
    ]);
    for (const each of told) expect(each).toMatch(/^No connection to EventStoreDB: .* \(see EVENTSTOREDB_URL\)$/);
  });

  it('names every node of a cluster whose certificate is not good, and a server that is not there', async () => {
    const second = await TlsFront.start(store.port, otherAuthority.issue());
    try {
      const unknown = (node: string) =>
        `the certificate of ${node} is from an authority that this machine does not know`;
      const [first, other] = [`127.0.0.1:${front.port}`, `localhost:${second.port}`];
      const [told] = await expectReasons('event log', startWith, [
        [at(`${first},${other}`, 'tls=true'), unknown(first)],
        ['esdb://127.0.0.1:1?tls=false', '127.0.0.1:1 refuses the connection (ECONNREFUSED)'],
      ]);
      expect(told).toContain(unknown(other));
    } finally {
      await second.stop();
    }
  });

  it('waits for a certificate to be renewed that has expired or is for another host, and then works', async () => {
    const second = await TlsFront.start(store.port, authority.issue({ names: ['DNS:log.market.example'] }));
    try {
      front.renew(authority.issue({ isExpired: true }));
      await expectReasons('event log', startWith, [
        [url(tls()), `the certificate of 127.0.0.1:${front.port} expired at `],
        [at(`127.0.0.1:${second.port}`, tls()), `the certificate of 127.0.0.1:${second.port} is for another host name`],
      ]);
      for (const each of [front, second]) each.renew(authority.issue());
      await Promise.all(services.map((service) => service.ready()));
    } finally {
      front.renew(authority.issue());
      await second.stop();
    }
  });

  it('names a wrong password by its variable, and the right to read $all, in every process', async () => {
    await admin.setStreamMetadata('$all', {});
    const right = { EVENTSTOREDB_URL: url(tls()), MONGODB_URL: NOBODY };
    const [wrong, auth, projector] = await Promise.all([
      start('auth', { EVENTSTOREDB_URL: url(tls(), 'wrong') }),
      start('auth', right),
      start('projector', right),
    ]);
    await reasonToWait(wrong, 'event log', 'EventStoreDB refuses the user or the password in EVENTSTOREDB_URL');
    for (const service of [auth, projector]) {
      await reasonToWait(service, 'event log', 'the right to read $all ($r)');
    }
  });

  it('tries each right at its start, names the one that is missing, and works as soon as it has all', async () => {
    await allow('$w');
    const service = await startWith(url(tls()));
    const refused = 'EventStoreDB refuses the account in EVENTSTOREDB_URL';
    await reasonToWait(service, 'event log', `${refused} the right to write to fence-… ($w)`);
    await allow('$mw');
    await reasonToWait(service, 'event log', `${refused} the right to write the metadata of fence-… ($mw)`);
    await allow('$r');
    await reasonToWait(service, 'event log', `${refused} the right to read fence-… ($r)`);
    await allow();
    await service.ready();
    expect(service.output()).not.toContain(PASSWORD);
  });

  it('does without the right to read metadata, with one warning', async () => {
    await allow('$mr');
    const service = await startWith(url(tls()));
    await service.ready();
    const warnings = warningsOf(service).map(({ msg }) => msg);
    expect(warnings).toEqual([
      'the account in EVENTSTOREDB_URL may not read the metadata of streams ($mr), so a deleted stream looks new',
    ]);
  });

  it('needs no more than what the operations guide gives it', async () => {
    const bare = await startEventStore({ account: ['admin:changeit:$admins', `another:${PASSWORD}`] });
    const its = await TlsFront.start(bare.port, authority.issue());
    const lines = shellBlocks('docs/operations.md', 'TLS and accounts of the stores');
    const settings = { ESDB: `localhost:${its.port}`, ESDB_CA: authority.file, ADMIN_PASSWORD: 'changeit', PASSWORD };
    const as = (user: string) => `esdb://${user}:${PASSWORD}@127.0.0.1:${its.port}?${tls()}`;
    try {
      expect(await paste(lines, settings)).toEqual(['']);
      const [service, other] = await Promise.all([startWith(as('consumer-clients')), startWith(as('another'))]);
      await service.ready();
      expect(warningsOf(service)).toEqual([]);
      const told = await reasonToWait(other, 'event log', 'the right to write the metadata of fence-… ($mw)');
      expect(told).toContain('the right to read $all ($r)');
      const another = EventStoreDBClient.connectionString(as('another'));
      const forged = another.appendToStream('log', jsonEvent({ type: 'Forged', data: {} }), account('another'));
      await expect(forged).rejects.toThrow('Access Denied');
    } finally {
      await stopServices();
      await its.stop();
      await bare.stop();
    }
  });

  it('prints lines of JSON only, also for what Node warns of, such as TLS to an IP address', async () => {
    const preloaded = join(folder, 'warns.js');
    writeFileSync(preloaded, "setImmediate(() => process.emitWarning('Something is odd', 'OddWarning'));");
    const env = { NODE_OPTIONS: `--require=${preloaded}`, LOG_LEVEL: 'debug' };
    const service = await start('auth', { EVENTSTOREDB_URL: url(tls()), ...env });
    await service.ready();
    const others = linesOf(service).filter((line) => !line.startsWith('{'));
    expect(others).toEqual([`Consumer Clients, auth: ${service.url}`]);
    expect(service.output()).toMatch(/"level":"debug".*"DEP0123".*"a warning of Node"/);
    const warnings = warningsOf(service).map(({ msg, err }) => [msg, err?.message]);
    expect(warnings).toEqual([['a warning of Node', 'Something is odd']]);
  });
});

describe('a process with a file that is missing or unusable', () => {
  const inFolder = (name: string) => join(folder, name);
  const withCa = (file: string) => ({ EVENTSTOREDB_URL: `esdb://ann:${PASSWORD}@127.0.0.1:1?tlsCAFile=${file}` });
  const withMongoCa = (file: string) => `mongodb://ann:${PASSWORD}@127.0.0.1:1/clients?tls=true&tlsCAFile=${file}`;

  it('prints one line with the variable and the file, and ends', async () => {
    const cases: readonly [name: ServiceName, variable: string, env: Environment, file: string][] = [
      ['auth', 'MASTER_KEY_FILE', { MASTER_KEY: '', MASTER_KEY_FILE: '/nowhere/key' }, '/nowhere/key (ENOENT)'],
      ['auth', 'MASTER_KEY_FILE', { MASTER_KEY: '', MASTER_KEY_FILE: '/tmp' }, '/tmp (EISDIR)'],
      ['auth', 'MASTER_KEY_FILE', { MASTER_KEY: '', MASTER_KEY_FILE: __filename }, __filename],
      ['auth', 'GATEWAY_SECRET_FILE', { GATEWAY_SECRET_FILE: '/nowhere/secret' }, '/nowhere/secret (ENOENT)'],
      ['auth', 'EVENTSTOREDB_URL', withCa('/nowhere/ca.crt'), '/nowhere/ca.crt (ENOENT)'],
      ['auth', 'EVENTSTOREDB_URL', withCa('/tmp'), '/tmp (EISDIR)'],
      ['auth', 'EVENTSTOREDB_URL', withCa(__filename), `${__filename} holds no certificate`],
      ['projector', 'MONGODB_URL', { MONGODB_URL: withMongoCa('/nowhere/ca.crt') }, '/nowhere/ca.crt (ENOENT)'],
    ];
    await Promise.all(
      cases.map(async ([name, variable, env, file]) => {
        const all = { ...secrets, ...withCa(authority.file), ...env };
        const { code, output } = await Program.runToEnd(name, { env: all });
        const told = output.split('\n').filter((line) => line.startsWith('ConfigurationError: '));
        expect([code, told]).toEqual([1, [expect.stringMatching(`^ConfigurationError: ${variable} `)]]);
        expect(told[0]).toContain(file);
        expect(output).not.toContain(PASSWORD);
      }),
    );
  });

  it('names the own files of a standalone', async () => {
    await Promise.all(
      ['master.key', 'gateway.secret', 'admin.token'].map(async (name) => {
        const dataDir = inFolder(`standalone-${name}`);
        mkdirSync(join(dataDir, name), { recursive: true });
        const { code, output } = await Program.runToEnd('standalone', { env: { DATA_DIR: dataDir } });
        expect([code, output.trimEnd()]).toEqual([
          1,
          `ConfigurationError: ${join(dataDir, name)} can’t be made or read (EISDIR)`,
        ]);
      }),
    );
  });

  it('names an event log that is not a file', async () => {
    const dataDir = inFolder('sqlite');
    mkdirSync(join(dataDir, 'event-log.db'), { recursive: true });
    await reasonToWait(
      await start('auth', { DATA_DIR: dataDir }),
      'event log',
      `${join(dataDir, 'event-log.db')} can't`,
    );
  });
});

describeWithMongo('a process that MongoDB lets in only with TLS, an account and rights', () => {
  let mongo: MongoProcess;
  let eventStore: EventStore;
  let database: NewDatabase;
  let relay: MongoRelay;
  let front: TlsFront;
  beforeAll(async () => {
    [mongo, eventStore] = await Promise.all([startMongo(), startEventStore()]);
    database = newDatabase(mongo.url, 'connections');
    relay = await MongoRelay.start(database.url);
    front = await TlsFront.start(portOf(relay.url), authority.issue());
  });
  afterAll(async () => {
    await front.stop();
    await relay.close();
    await eventStore.stop();
    await database.drop();
    await mongo.stop();
  });

  const portOf = (url: string) => Number(/127\.0\.0\.1:(\d+)/.exec(url)?.[1]);
  /** The server's URL by way of this port, with these options. */
  const through = (port: number, options: string) =>
    `${relay.url.replace(`:${portOf(relay.url)}/`, `:${port}/`)}&${options}`;
  const startWith = (url: string) => start('projector', { EVENTSTOREDB_URL: eventStore.url, MONGODB_URL: url });

  it('waits, and names what is wrong with TLS', async () => {
    // What is no TLS is answered by the end of the connection, as MongoDB does.
    const silent = createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.destroy()));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as { port: number };
    try {
      const told = await expectReasons('read store', startWith, [
        ...wrongTls().map(
          ([options, reason]) =>
            [through(front.port, options), reason.replace('%', `127.0.0.1:${front.port}`)] as const,
        ),
        [
          through(port, 'tls=true'),
          `127.0.0.1:${port} closes the connection at the greeting of TLS: perhaps it does not use TLS (tls=false)`,
        ],
      ]);
      for (const each of told) expect(each).toMatch(/^No connection to MongoDB: .* \(see MONGODB_URL\)$/);
    } finally {
      silent.close();
    }
  });

  it('waits for a certificate that expired to be renewed, and then works', async () => {
    front.renew(authority.issue({ isExpired: true }));
    const service = await startWith(through(front.port, `tls=true&tlsCAFile=${authority.file}`));
    await reasonToWait(service, 'read store', `the certificate of 127.0.0.1:${front.port} expired at `);
    front.renew(authority.issue());
    await service.ready();
  });

  it('names a wrong password and missing rights by the variable', async () => {
    const withAccount = relay.url.replace(/^mongodb:\/\/([^@/]*@)?/, `mongodb://consumer-clients:${PASSWORD}@`);
    try {
      relay.answer((sent) => ('saslStart' in sent ? refusal(18, { codeName: 'AuthenticationFailed' }) : undefined));
      await reasonToWait(
        await startWith(`${withAccount}&authMechanism=SCRAM-SHA-256`),
        'read store',
        'MongoDB refused it: AuthenticationFailed (the user or the password in MONGODB_URL is wrong)',
      );
      const errmsg = 'not authorized on test to execute command { find: "projections", filter: {} }';
      relay.answer((sent) => ('find' in sent ? refusal(13, { codeName: 'Unauthorized', errmsg }) : undefined));
      await reasonToWait(
        await startWith(relay.url),
        'read store',
        'MongoDB refused it: Unauthorized (the account in MONGODB_URL lacks the right to find projections)',
      );
      const actions = ['find', 'insert', 'update', 'remove', 'createCollection', 'dropCollection', 'listCollections'];
      const resource = { db: '', collection: '' };
      const authInfo = { authenticatedUserPrivileges: [{ resource, actions }] };
      relay.answer((sent) => ('connectionStatus' in sent ? { ok: 1, authInfo } : undefined));
      const service = await startWith(relay.url);
      await reasonToWait(
        service,
        'read store',
        'The account in MONGODB_URL lacks the rights createIndex, collMod on database ',
      );
      relay.answer();
      await service.ready();
    } finally {
      relay.answer();
    }
  });
});
