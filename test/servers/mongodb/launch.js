// Provides a MongoDB server to tests and benchmarks: the server at MONGODB_URL, a started `mongod`, or a started
// mongo-java-server (which needs Java and Maven).
const { execFileSync, spawn } = require('node:child_process');
const { createHash, randomUUID } = require('node:crypto');
const { once } = require('node:events');
const { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { delimiter, join } = require('node:path');
const { clearTimeout, setTimeout } = require('node:timers');
const { MongoClient } = require('mongodb');
const { freePort } = require('../../support/processes/free-ports.js');

const POM = require.resolve('./pom.xml');
const PROGRAM = require.resolve('./MongoServer.java');
const CACHE = join(POM, '../../../../node_modules/.cache');
const FETCH_TIMEOUT_MS = 180_000;
const START_TIMEOUT_MS = 60_000;

let known;

/** Returns the function that starts a MongoDB server. Returns `undefined` if no such server is installed. */
function ownServer() {
  return (known ??= { launch: findServer() }).launch;
}

function findServer() {
  if (runs('mongod', '--version')) return mongod;
  const canRunOurs = runs('java', '--version') && fetchedJars() !== undefined && compiledProgram() !== undefined;
  if (canRunOurs) return mongoJavaServer;
  return undefined;
}

const hasOwnMongo = () => ownServer() !== undefined;
const hasMongo = () => Boolean(process.env.MONGODB_URL) || hasOwnMongo();

async function startMongo({ file, port } = {}) {
  const { MONGODB_URL: url } = process.env;
  if (url && file === undefined && port === undefined) {
    const notOurs = () => Promise.reject(new Error('The server of MONGODB_URL is not ours to end'));
    return { url, pid: undefined, kill: notOurs, restart: notOurs, stop: () => Promise.resolve() };
  }
  const launch = ownServer();
  if (launch === undefined) throw new Error('There is no mongod, and no Java with Maven');
  const temporary = file === undefined ? mkdtempSync(join(tmpdir(), 'mongo-')) : undefined;
  const fixedPort = port ?? (await freePort());
  const start = () => launch(fixedPort, file ?? join(temporary, 'data'));
  let child = await start();
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    // A test may have paused the process (SIGSTOP). Then the process handles SIGTERM only after SIGCONT.
    child.kill('SIGCONT');
    await exited;
  };
  return {
    url: `mongodb://127.0.0.1:${fixedPort}`,
    get pid() {
      return child.pid;
    },
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGKILL');
      child = await start();
    },
    stop: async () => {
      await end('SIGTERM');
      if (temporary !== undefined) rmSync(temporary, { recursive: true });
    },
  };
}

/**
 * Returns the URL with another database. Without the option `authSource`, the URL's database is also the one that knows
 * the account, and it still is then.
 */
function inDatabase(url, database) {
  const [, server = '', credentials, path = '', query = ''] =
    /^([^:]+:\/\/([^@/]*@)?[^/?]+)(\/[^?]*)?(?:\?(.*))?$/.exec(url) ?? [];
  const options = new URLSearchParams(query);
  if (credentials && path.length > 1 && !options.has('authSource')) options.set('authSource', path.slice(1));
  const text = options.toString();
  return `${server}/${database}${text && `?${text}`}`;
}

function newDatabase(url, purpose) {
  const name = `${purpose}_${randomUUID().slice(0, 8)}`;
  const drop = async () => {
    const client = new MongoClient(url);
    await client.db(name).dropDatabase();
    await client.close();
  };
  return { name, url: inDatabase(url, name), drop };
}

function mongod(port, file) {
  mkdirSync(file, { recursive: true });
  const where = ['--dbpath', file, '--port', String(port), '--bind_ip', '127.0.0.1'];
  return ready(spawn('mongod', where, { stdio: ['pipe', 'pipe', 'inherit'] }), /waiting for connections/i);
}

function mongoJavaServer(port, file) {
  const classes = `${compiledProgram()}${delimiter}${join(fetchedJars(), '*')}`;
  // The quick compiler alone: a test's server lives for seconds.
  const jvm = [
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=off',
    '-cp',
    classes,
  ];
  const args = [...jvm, 'MongoServer', String(port), file];
  return ready(spawn('java', args, { stdio: ['pipe', 'pipe', 'inherit'] }), /^\d+$/m);
}

/**
 * Resolves when the process has printed that it is ready. We keep its stdin open, because the Java program ends when
 * its stdin closes.
 */
async function ready(child, said) {
  let output = '';
  const timeout = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output = output.slice(-10_000) + String(chunk);
    if (said.test(output)) break;
  }
  clearTimeout(timeout);
  if (!said.test(output)) throw new Error(`MongoDB did not start: ${output}`);
  child.stdout.resume();
  return child;
}

/** Returns the folder of the jars that MongoServer.java needs. Maven fetches the jars once for each version of pom.xml. */
function fetchedJars() {
  return cached('mongo-java-server', [POM], (folder) => {
    const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`];
    return runs('mvn', '-q', '-B', '-f', POM, ...goal);
  });
}

/** Returns the folder of MongoServer.java's classes. They are compiled once, because that takes longer than a start. */
function compiledProgram() {
  return cached('mongo-server', [POM, PROGRAM], (folder) =>
    runs('javac', '-d', folder, '-cp', join(fetchedJars(), '*'), PROGRAM),
  );
}

/**
 * Returns a folder that `fill` has filled, now or in an earlier run with the same content of `sources`. Returns
 * `undefined` if `fill` fails.
 */
function cached(name, sources, fill) {
  const state = createHash('sha256');
  for (const source of sources) state.update(readFileSync(source));
  const folder = join(CACHE, `${name}-${state.digest('hex').slice(0, 8)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = mkdtempSync(`${folder}-`);
  if (!fill(unfinished)) {
    rmSync(unfinished, { recursive: true });
    return undefined;
  }
  // Another process may have filled the folder at the same time.
  if (existsSync(folder)) rmSync(unfinished, { recursive: true });
  else renameSync(unfinished, folder);
  return folder;
}

function runs(command, ...args) {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: FETCH_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

module.exports = { hasMongo, hasOwnMongo, inDatabase, newDatabase, startMongo };
