import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientId, consumerClientStream } from '#domain';
import type { EventLog } from '#event-log';
import type { RecordedEvent } from '#events';
import { expectSoundLog } from './audit.js';
import type { Deployment } from './deployment.js';
import { type Answer, eventually } from './http.js';
import type { NewClient } from './portal.js';

const CALLERS = 64;
/** Four callers want the same client at once, and wait for each other. */
const CLIENTS = 16;
const LOGIN_CALLERS = 4;
const LOGIN_EVERY_MS = 20;
/** So that callers don't come back in the order in which they were refused: others change a client in between. */
const JITTER_MS = 1_500;
const PATIENCE_SECONDS = 20;

interface Refusal {
  readonly what: 'command' | 'login';
  readonly retryAfter: string;
}

/** 64 callers, each of whom repeats a command with its Idempotency-Key until it is acknowledged, and 4 who log in. */
export class Traffic {
  /** Answered 503. */
  readonly refusals: Refusal[] = [];
  /** Neither a success nor a 503. */
  readonly strange: string[] = [];
  /** What the longest answer took, in milliseconds. */
  slowestMs = 0;
  /** By client: the name that each command gave it, at the revision that its acknowledgement said. */
  private readonly acknowledged = new Map<ClientId, Map<number, string>>();
  private count = 0;
  private isOver = false;
  /** So that no two runs have an Idempotency-Key in common. */
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

  /** Resolves when so many more commands were acknowledged. */
  async goesOn(commands: number): Promise<void> {
    const enough = this.count + commands;
    await eventually(
      () => Promise.resolve(this.count),
      (count) => count >= enough,
      PATIENCE_SECONDS,
    );
  }

  /** How many commands the log holds that are not acknowledged, once none is any more. */
  async unacknowledgedIn(log: EventLog): Promise<number> {
    for (;;) {
      const { count } = this;
      const written = await this.commandsIn(log);
      if (this.count === count) return written.length - count;
    }
  }

  /** Resolves when there are as many refusals as callers. */
  async isRefused(): Promise<void> {
    const refused = (wanted: Refusal['what']) => this.refusals.filter(({ what }) => what === wanted).length;
    await eventually(
      () => Promise.resolve([refused('command'), refused('login')] as const),
      ([commands, logins]) => commands >= CALLERS && logins >= LOGIN_CALLERS,
      PATIENCE_SECONDS,
    );
  }

  /** No caller leaves before its command was acknowledged. */
  async end(): Promise<void> {
    this.isOver = true;
    await this.callers;
  }

  /** The log holds every command that was acknowledged, where its acknowledgement said, once, and no other. */
  async expectInLogOnce(log: EventLog): Promise<void> {
    await expectSoundLog(await log.readAll({ limit: Infinity }));
    const commands = await this.commandsIn(log);
    for (const [clientId, names] of this.acknowledged) {
      const written = commands
        .filter(({ stream }) => stream === consumerClientStream(clientId))
        .map(({ revision, data }) => [Number(revision), data.name]);
      expect(written).toEqual([...names].sort(([a], [b]) => a - b));
    }
  }

  private async commandsIn(log: EventLog): Promise<RecordedEvent[]> {
    const streams = new Set<string>([...this.acknowledged.keys()].map(consumerClientStream));
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
      if (answer.status !== 503) this.strange.push(`${what}: ${answer.status} ${answer.text}`);
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
