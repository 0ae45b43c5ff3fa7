import { randomBytes, randomUUID } from 'node:crypto';
import Database from 'libsql';
import { newClientId } from '#credentials';
import { consumerClient, subscription } from '#domain';
import { identifyLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { seal } from '#events';
import { WORKSPACE } from './processes.mjs';

const IN_FLIGHT = 2000;
const START = Date.UTC(2026, 0, 1);

/** A verifier (Argon2id hash of a secret) with the form and length of a real verifier. No secret matches it. */
const VERIFIER = `$argon2id$v=19$m=19456,t=2,p=1,keyid=${base64(8)}$${base64(16)}$${base64(32)}`;

function base64(bytes) {
  return randomBytes(bytes).toString('base64').replaceAll('=', '');
}

/**
 * Writes complete events (with their hash chain) to a new log, as fast as the log's adapter accepts events. The times
 * of two successive events differ by one second.
 */
export class Seeder {
  #links = new Map();
  #appending = [];
  #count = 0;

  constructor(log) {
    this.log = log;
  }

  get count() {
    return this.#count;
  }

  /** The time of the next event. */
  get at() {
    return new Date(START + this.#count * 1000).toISOString();
  }

  /**
   * Appends an event. Usually resolves before the append is done, and waits only when `IN_FLIGHT` appends are
   * unfinished.
   */
  async add(stream, event) {
    const last = this.#links.get(stream);
    const [sealed] = seal(stream, last, [event], context(), this.at);
    const revision = last === undefined ? 0n : last.revision + 1n;
    this.#links.set(stream, { revision, hash: sealed.metadata.hash });
    this.#appending.push(this.log.append(stream, last?.revision ?? 'none', [sealed]));
    this.#count++;
    if (this.#appending.length >= IN_FLIGHT) await this.written();
  }

  /** Forgets where the streams end. No event can be added to a stream that has begun before. */
  endStreams() {
    this.#links.clear();
  }

  async written() {
    await Promise.all(this.#appending);
    this.#appending = [];
  }

  /** Creates a client, and returns its id. */
  async createClient(name, authenticationType) {
    const clientId = newClientId();
    await this.change(clientId, 'ConsumerClientCreated', {
      ...{ clientId, workspaceId: WORKSPACE, name, authenticationType, verifier: VERIFIER, createdAt: this.at },
    });
    return clientId;
  }

  /** Adds an event to the stream of a client. */
  change(clientId, type, data) {
    return this.add(consumerClient.stream(clientId), { type, data });
  }

  assign(clientId, subscriptionId) {
    const data = { subscriptionId, endpointUri: subscriptionId, serviceName: SERVICE_NAME, assignedAt: this.at };
    return this.change(clientId, 'ConsumerClientAssignedToSubscription', data);
  }

  revoke(clientId, subscriptions) {
    const data = { reason: 'The importer was retired', subscriptions, revokedAt: this.at };
    return this.change(clientId, 'ConsumerClientRevoked', data);
  }

  rotate(clientId, generation) {
    const data = { generation, verifier: VERIFIER, rotatedAt: this.at, previousExpiresAt: this.at };
    return this.change(clientId, 'ConsumerClientSecretRotated', data);
  }

  registerSubscription(subscriptionId) {
    return this.add(subscription.stream(subscriptionId), {
      type: 'SubscriptionRegistered',
      data: {
        ...{ subscriptionId, workspaceId: WORKSPACE, endpointUri: subscriptionId, serviceName: SERVICE_NAME },
        registeredAt: this.at,
      },
    });
  }
}

const SERVICE_NAME = 'Weather forecasts';

const context = () => {
  const commandId = randomUUID();
  return {
    commandId,
    commandHash: randomBytes(32).toString('hex'),
    actor: { subject: 'portal-backend', roles: ['clients:write', 'subscriptions:write'], via: 'http' },
    workspaceId: WORKSPACE,
    correlationId: commandId,
    causationId: commandId,
  };
};

/** Opens a new log, lets `fill` write the events, and closes the log. Returns what `fill` returns. */
export async function seedLog(file, fill) {
  const log = await openSqliteEventLog({ file });
  try {
    await identifyLog(log, () => new Date(START));
    const seeder = new Seeder(log);
    const filled = await fill(seeder);
    await seeder.written();
    return filled;
  } finally {
    await log.close();
  }
}

/**
 * Writes events as `seedLog` does, but straight into the SQLite file, in large transactions without a sync. The events
 * are the same: validated, with ids and a complete hash chain.
 */
export async function seedLargeLog(file, fill) {
  await seedLog(file, () => undefined);
  const bulk = new BulkLog(file);
  try {
    const seeder = new Seeder(bulk);
    const filled = await fill(seeder);
    await seeder.written();
    bulk.commit();
    return filled;
  } finally {
    bulk.close();
  }
}

const ROWS_IN_TRANSACTION = 20_000;

/** Has the one method of an event log that a seeder calls. */
class BulkLog {
  #rows = 0;

  constructor(file) {
    this.database = new Database(file);
    this.database.exec('PRAGMA synchronous = OFF');
    this.position = this.database.prepare('SELECT max(position) FROM events').raw().get()[0];
    this.insert = this.database.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)');
  }

  append(stream, expected, [{ eventId, type, data, metadata }]) {
    if (this.#rows === 0) this.database.exec('BEGIN');
    const revision = expected === 'none' ? 0 : Number(expected) + 1;
    this.position += 1;
    this.insert.run(this.position, stream, revision, eventId, type, JSON.stringify(data), JSON.stringify(metadata));
    this.#rows += 1;
    if (this.#rows === ROWS_IN_TRANSACTION) this.commit();
  }

  commit() {
    if (this.#rows > 0) this.database.exec('COMMIT');
    this.#rows = 0;
  }

  close() {
    this.database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.database.close();
  }
}

/** What a running service writes by itself, whatever it is asked: keys, heads of the tree, and counts of uses. */
const isOfService = ({ stream }) => stream === 'signingKeys' || stream === 'treeHeads' || stream.startsWith('usage-');

/**
 * Returns the number of events after `position`, and the position of the last one. Events that the service writes by
 * itself do not count.
 */
export async function appendedSince(log, position) {
  let events = 0;
  let end = position;
  for (let after = position; ;) {
    const page = await log.readAll({ ...(after !== undefined && { after }), limit: 5000 });
    if (page.length === 0) return { events, end };
    const counted = page.filter((event) => !isOfService(event));
    events += counted.length;
    end = counted.at(-1)?.position ?? end;
    after = page.at(-1).position;
  }
}
