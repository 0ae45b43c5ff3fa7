import { join } from 'node:path';
import { openSqliteEventLog } from '#event-log/sqlite';
import { load } from '../load.mjs';
import { Companion, MeasuredStandalone } from '../processes.mjs';
import { ratioAtLeast, row } from '../report.mjs';
import { alternatingMedians } from '../rounds.mjs';
import { appendedSince, seedLog } from '../seeding.mjs';

const section = 'Durable commands over HTTP';
const unit = 'commands/s';
const CALLERS = [1, 16, 64];
/**
 * With this number of callers, renames and assignments must reach this ratio: our commands per second, divided by those
 * of the bare Fastify route.
 */
const TARGET = { callers: 64, ratio: 0.4 };

const SUBSCRIPTIONS = Array.from({ length: 20 }, (_, index) => `weather-${index}`);

/** Measures commands. The callers of one row of the report change different clients, so the callers never conflict. */
export async function commands(bench) {
  const scale = bench.isQuick
    ? { clients: 600, rounds: 1, seconds: 0.05, mintSeconds: 0.2 }
    : { clients: 12_000, rounds: 5, seconds: 0.8, mintSeconds: 1.5 };
  const stage = await Stage.open(bench, scale.clients);
  const rows = [];
  for (const [name, requestOf] of [
    ['rename', stage.renames()],
    ['assign', stage.assignments()],
  ]) {
    for (const callers of CALLERS) {
      bench.say(`${name}, ${callers} callers`);
      rows.push(...(await besideBareAndRaw(stage, name, requestOf, callers, scale)));
    }
  }
  for (const [name, requestOf] of [
    ['create', stage.creations()],
    ['rotate', stage.rotations()],
  ]) {
    for (const callers of CALLERS) {
      bench.say(`${name}, ${callers} callers`);
      rows.push(await besideArgon2(stage, name, requestOf, callers, scale));
    }
  }
  await stage.close();
  return rows;
}

async function besideBareAndRaw(stage, name, requestOf, callers, { rounds, seconds }) {
  const { server, serverLog, bare, bareLog, raw } = stage;
  const next = (caller) => requestOf(caller);
  const { ours, viaBare, appended } = await alternatingMedians(rounds, {
    ours: () => durablyAnswered(serverLog, { url: server.url, callers, seconds, next }, server),
    viaBare: () => durablyAnswered(bareLog, { url: bare.ready.url, callers, seconds, next: requestOf.repeated }),
    appended: () => raw.ask({ kind: name, callers, seconds }),
  });
  const figures = { section, name: `${name}, ${callers} callers`, unit, value: ours };
  const target = callers === TARGET.callers ? ratioAtLeast(TARGET.ratio) : undefined;
  return [
    row({ ...figures, against: 'bare Fastify route', reference: viaBare, target }),
    row({ ...figures, against: 'raw appends', reference: appended }),
  ];
}

async function besideArgon2(stage, name, requestOf, callers, { rounds, mintSeconds: seconds }) {
  const { server, serverLog, raw } = stage;
  const { ours, argon2 } = await alternatingMedians(Math.min(rounds, 3), {
    ours: () => durablyAnswered(serverLog, { url: server.url, callers, seconds, next: requestOf }, server),
    argon2: () => raw.ask({ kind: 'argon2', callers, seconds }),
  });
  const figures = { section, name: `${name} without a draft, ${callers} callers`, unit, value: ours };
  return row({ ...figures, against: 'Argon2 alone', reference: argon2 });
}

/** Returns the number of responses per second. Throws unless the log has exactly one new event per response. */
async function durablyAnswered(log, wanted, server) {
  const { end: before } = await appendedSince(log.log, log.end);
  const { answered, perSecond } = await load(wanted);
  const { events, end } = await appendedSince(log.log, before);
  if (events !== answered) throw new Error(`${answered} commands were answered, ${events} events appended`);
  log.end = end;
  await server?.caughtUp(end);
  return perSecond;
}

/**
 * Three processes, each with its own event log: the standalone process (all apps in one), the bare Fastify route, and
 * the program that appends without HTTP.
 */
class Stage {
  #issued = 0;

  static async open(bench, clients) {
    const stage = new Stage();
    const dataDir = bench.newFolder('standalone');
    const file = join(dataDir, 'event-log.db');
    stage.clients = await seedLog(file, (seeder) => seedClients(seeder, clients));
    stage.server = await MeasuredStandalone.start(bench, dataDir);
    stage.serverLog = await openLog(bench, file);
    await stage.server.caughtUp((await appendedSince(stage.serverLog.log)).end);

    const templates = await stage.sampleEvents();
    const bareFile = join(bench.newFolder('bare'), 'event-log.db');
    stage.bare = await Companion.start('./bare-commands.mjs', { file: bareFile, templates });
    bench.atEnd(() => stage.bare.stop());
    stage.bareLog = await openLog(bench, bareFile);
    const rawFile = join(bench.newFolder('raw'), 'event-log.db');
    stage.raw = await Companion.start('./raw-rates.mjs', { file: rawFile, templates });
    bench.atEnd(() => stage.raw.stop());
    return stage;
  }

  async close() {
    await Promise.all([this.server, this.bare, this.raw].map((each) => each.stop()));
  }

  /**
   * Returns a rename event and an assignment event that the service wrote. The two reference programs append copies of
   * these events, so that all events have the same size.
   */
  async sampleEvents() {
    const { log } = this.serverLog;
    const { end } = await appendedSince(log);
    const [clientId] = this.clients;
    await this.server.json('PATCH', `/v1/clients/${clientId}`, { name: newName('sample') });
    await this.server.json('PUT', `/v1/clients/${clientId}/subscriptions/${SUBSCRIPTIONS[0]}`);
    const [rename, assign] = (await log.readAll({ after: end })).map(({ type, data, metadata }) => ({
      type,
      data,
      metadata,
    }));
    return { rename, assign };
  }

  /** Each caller renames its own eight clients, one after the other. */
  renames() {
    const own = this.clients.slice(0, 8 * Math.max(...CALLERS));
    const requestOf = (caller) => {
      const issued = this.#issued++;
      const clientId = own[caller * 8 + (issued % 8)];
      return this.server.request('PATCH', `/v1/clients/${clientId}`, { body: { name: newName(issued) } });
    };
    return Object.assign(requestOf, { repeated: requestOf });
  }

  /** Each caller takes the next unused client and assigns it to one subscription after another. */
  assignments() {
    const unused = this.clients.slice(1);
    const inHand = new Map();
    const request = (clientId, subscriptionId) =>
      this.server.request('PUT', `/v1/clients/${clientId}/subscriptions/${subscriptionId}`);
    const requestOf = (caller) => {
      let { clientId, next } = inHand.get(caller) ?? { next: SUBSCRIPTIONS.length };
      if (next === SUBSCRIPTIONS.length) [clientId, next] = [unused.pop(), 0];
      if (clientId === undefined) throw new Error('Every client has every subscription; seed more');
      inHand.set(caller, { clientId, next: next + 1 });
      return request(clientId, SUBSCRIPTIONS[next]);
    };
    // The bare route appends an event for every request, even if the assignment exists already. So a caller may send
    // the same request again.
    const repeated = (caller) => {
      const issued = this.#issued++;
      return request(this.clients[caller], SUBSCRIPTIONS[issued % SUBSCRIPTIONS.length]);
    };
    return Object.assign(requestOf, { repeated });
  }

  creations() {
    return () =>
      this.server.request('POST', '/v1/clients', {
        body: { name: newName(this.#issued++), authenticationType: 'OAUTH2' },
      });
  }

  rotations() {
    return (caller) => this.server.request('POST', `/v1/clients/${this.clients[caller]}/rotate`, { body: {} });
  }
}

const newName = (issued) => `Forecast importer ${String(issued).padStart(8, '0')}`;

async function seedClients(seeder, count) {
  for (const subscriptionId of SUBSCRIPTIONS) await seeder.registerSubscription(subscriptionId);
  const clients = [];
  for (let index = 0; index < count; index++) clients.push(await seeder.createClient('Forecast importer', 'OAUTH2'));
  return clients;
}

async function openLog(bench, file) {
  const log = await openSqliteEventLog({ file });
  bench.atEnd(() => log.close());
  return { log, end: undefined };
}
