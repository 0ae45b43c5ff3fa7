import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientId, consumerClient } from '#domain';
import type { EventLog } from '#event-log';
import type { RecordedEvent } from '#events';
import { type Answer, eventually } from '../api/http.js';
import type { NewClient } from '../api/portal.js';
import { expectSoundLog } from '../events/audit.js';
import type { Deployment } from '../processes/deployment.js';

const CALLERS = 64;
/**
 * Number of clients. Four callers use the same client, so the commands of these callers compete for the client's
 * stream.
 */
const CLIENTS = 16;
const LOGIN_CALLERS = 4;
const LOGIN_EVERY_MS = 20;
/**
 * Largest random delay before a retry, in ms. The delay mixes the order of the callers, so that other callers may
 * change the client before a command is retried.
 */
const JITTER_MS = 1_500;

interface Refusal {
  readonly what: 'command' | 'login';
  readonly retryAfter: string;
}

/**
 * 64 callers that send commands, and 4 callers that log in. Each caller repeats its request until the request succeeds.
 * A repeated command keeps its Idempotency-Key.
 */
export class Traffic {
  /** The refusals: responses with status 503. */
  readonly refusals: Refusal[] = [];
  /** Descriptions of responses whose status was not 200 or 503. */
  readonly unexpected: string[] = [];
  /** The time that the slowest response took, in ms. */
  slowestMs = 0;
  /** The names that acknowledged commands gave to clients, by client and by the revision in the command's response. */
  private readonly acknowledged = new Map<ClientId, Map<number, string>>();
  private count = 0;
  private isOver = false;
  /** Part of each Idempotency-Key, so that two runs never use the same key. */
  private readonly run = randomUUID();
  private readonly callers: Promise<unknown>;

  private constructor(
    private readonly deployment: Deployment,
    private readonly clients: readonly NewClient[],
  ) {
    this.callers = Promise.all([
      ...Array.from({ length: CALLERS }, (_, caller) => this.command(caller)),
      ...Array.from({ length: LOGIN_CALLERS }, (_, caller) => this.login(caller)),
    ]);
  }

  static async begin(deployment: Deployment): Promise<Traffic> {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => deployment.portal.newClient()));
    return new Traffic(deployment, clients);
  }

  /** Resolves when `commands` more commands have been acknowledged. */
  async waitForCommands(commands: number): Promise<void> {
    const enough = this.count + commands;
    await eventually(
      () => Promise.resolve(this.count),
      (count) => count >= enough,
    );
  }

  /**
   * Returns the number of commands that are in the log but were not acknowledged. If a command is acknowledged during
   * the count, the count is repeated.
   */
  async unacknowledgedIn(log: EventLog): Promise<number> {
    for (;;) {
      const { count } = this;
      const written = await this.commandsIn(log);
      if (this.count === count) return written.length - count;
    }
  }

  /** Resolves when at least 64 commands and 4 logins have been refused, as many as there are callers. */
  async waitForRefusals(): Promise<void> {
    const refused = (wanted: Refusal['what']) => this.refusals.filter(({ what }) => what === wanted).length;
    await eventually(
      () => Promise.resolve([refused('command'), refused('login')] as const),
      ([commands, logins]) => commands >= CALLERS && logins >= LOGIN_CALLERS,
    );
  }

  /** Stops the traffic. Resolves when each caller's last request has succeeded. */
  async end(): Promise<void> {
    this.isOver = true;
    await this.callers;
  }

  /**
   * Expects that the log has each acknowledged command exactly once, at the revision in the command's response, and
   * that the log has no other command.
   */
  async expectInLogOnce(log: EventLog): Promise<void> {
    await expectSoundLog(await log.readAll({ limit: Infinity }));
    const commands = await this.commandsIn(log);
    for (const [clientId, names] of this.acknowledged) {
      const written = commands
        .filter(({ stream }) => stream === consumerClient.stream(clientId))
        .map(({ revision, data }) => [Number(revision), data.name]);
      expect(written).toEqual([...names].sort(([a], [b]) => a - b));
    }
  }

  private async commandsIn(log: EventLog): Promise<RecordedEvent[]> {
    const streams = new Set<string>([...this.acknowledged.keys()].map(consumerClient.stream));
    const events = await log.readAll({ limit: Infinity });
    return events.filter(({ stream, type }) => streams.has(stream) && type === 'ConsumerClientRenamed');
  }

  private async command(caller: number): Promise<void> {
    const { clientId } = this.clientOf(caller);
    const names = this.acknowledged.get(clientId) ?? new Map<number, string>();
    this.acknowledged.set(clientId, names);
    for (let command = 0; !this.isOver; command++) {
      const name = `${this.run}-${caller}-${command}`;
      const rename = () => this.deployment.portal.rename(clientId, name, { 'idempotency-key': name });
      const { body } = await this.untilAnswered('command', rename);
      names.set(body.client.revision, name);
      this.count += 1;
    }
  }

  private async login(caller: number): Promise<void> {
    while (!this.isOver) {
      await this.untilAnswered('login', () => this.deployment.login(this.clientOf(caller)));
      await delay(LOGIN_EVERY_MS);
    }
  }

  private async untilAnswered<T>(what: Refusal['what'], ask: () => Promise<Answer<T>>): Promise<Answer<T>> {
    for (;;) {
      const sentAt = performance.now();
      const answer = await ask();
      this.slowestMs = Math.max(this.slowestMs, performance.now() - sentAt);
      if (answer.status === 200) return answer;
      if (answer.status !== 503) this.unexpected.push(`${what}: ${answer.status} ${answer.text}`);
      const retryAfter = answer.headers['retry-after'] ?? 'none';
      this.refusals.push({ what, retryAfter });
      await delay(Number(retryAfter) * 1000 + Math.random() * JITTER_MS);
    }
  }

  private clientOf(caller: number): NewClient {
    const client = this.clients[caller % CLIENTS];
    if (!client) throw new Error('There are no clients');
    return client;
  }
}
