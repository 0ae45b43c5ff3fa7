import { randomBytes, randomUUID } from 'node:crypto';
import { newClientId } from '#credentials';
import { consumerClientStream, subscriptionStream } from '#domain';
import { identifyLog } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { seal } from '#events';
import { WORKSPACE } from './processes.mjs';

const IN_FLIGHT = 2000;
const START = Date.UTC(2026, 0, 1);

/** Of the form and the length that a real one has; nobody knows its secret. */
const VERIFIER = `$argon2id$v=19$m=19456,t=2,p=1,keyid=${base64(8)}$${base64(16)}$${base64(32)}`;

function base64(bytes) {
  return randomBytes(bytes).toString('base64').replaceAll('=', '');
}

/** Writes sealed events to a new log, as fast as the adapter takes them: a second of the log's time lies between two. */
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

  /** Moment of the next event. */
  get at() {
    return new Date(START + this.#count * 1000).toISOString();
  }

  /** Waits only when much is under way. */
  async add(stream, event) {
    const last = this.#links.get(stream);
    const [sealed] = seal(stream, last, [event], context(), this.at);
    const revision = last === undefined ? 0n : last.revision + 1n;
    this.#links.set(stream, { revision, hash: sealed.metadata.hash });
    this.#appending.push(this.log.append(stream, last?.revision ?? 'none', [sealed]));
    this.#count++;
    if (this.#appending.length >= IN_FLIGHT) await this.written();
  }

  async written() {
    await Promise.all(this.#appending);
    this.#appending = [];
  }

  /** Answers the new client's id. */
  async createClient(name, authenticationType) {
    const clientId = newClientId();
    await this.change(clientId, 'ConsumerClientCreated', {
      ...{ clientId, workspaceId: WORKSPACE, name, authenticationType, verifier: VERIFIER, createdAt: this.at },
    });
    return clientId;
  }

  /** Another event of a client. */
  change(clientId, type, data) {
    return this.add(consumerClientStream(clientId), { type, data });
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
    return this.add(subscriptionStream(subscriptionId), {
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

/** Opens a new log, has it filled, closes it; answers what `fill` answers. */
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

/** How many events were appended behind `position`, and the position that the log ends at. */
export async function appendedSince(log, position) {
  let events = 0;
  let end = position;
  for (;;) {
    const page = await log.readAll({ ...(end !== undefined && { after: end }), limit: 5000 });
    if (page.length === 0) return { events, end };
    events += page.length;
    end = page.at(-1).position;
  }
}
