import { type Answer, eventually } from './http.js';
import { type ClientAnswer, type Portal, readAfter } from './portal.js';
import { Random } from './random.js';

export interface PortalLoadOptions {
  /** Carries out the commands. */
  readonly writer: Portal;
  /** Each change is read back at one of them; may change while the load runs. */
  readonly readers: readonly Portal[];
  readonly seed: number;
  readonly callers?: number;
  /** Of the names that it gives, where several work on one log. */
  readonly prefix?: string;
}

/**
 * Portal backends at work: each changes clients of its own, and reads each change back with its consistency token. A
 * change that was acknowledged must be in the answer, or the answer be 503 with `Retry-After`.
 */
export class PortalLoad {
  /** Commands that changed something. */
  acknowledged = 0;
  /** Changes that were read back, and those whose reading was refused with 503. */
  read = 0;
  readonly refused: string[] = [];
  /** What no caller may be answered. */
  readonly strange: string[] = [];
  private readonly subscriptions: string[] = [];
  private changes = 0;
  private isOver = false;
  private readonly callers: Promise<unknown>;

  constructor(private readonly options: PortalLoadOptions) {
    const { callers = 6 } = options;
    this.callers = Promise.all(Array.from({ length: callers }, (_, number) => this.call(number)));
  }

  /** Waits until so many more changes were acknowledged. */
  async goesOn(changes: number): Promise<void> {
    await this.grows(() => this.acknowledged, changes);
  }

  /** Waits until so many more changes were read back. */
  async isRead(changes: number): Promise<void> {
    await this.grows(() => this.read, changes);
  }

  /** Waits until so many more reads were refused. */
  async isRefused(reads: number): Promise<void> {
    await this.grows(() => this.refused.length, reads);
  }

  /** Resolves when the last answer is there. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.callers;
  }

  private async grows(count: () => number, by: number): Promise<void> {
    const enough = count() + by;
    await eventually(
      () => Promise.resolve({ count: count(), strange: this.strange }),
      (now) => now.count >= enough || now.strange.length > 0,
      60,
    );
  }

  private async call(number: number): Promise<void> {
    const random = new Random(this.options.seed + number);
    const clients: string[] = [];
    while (!this.isOver) {
      try {
        await this.change(random, clients, `${this.options.prefix ?? 'load'}-${number}-${++this.changes}`);
      } catch (error) {
        this.strange.push(String(error));
        return;
      }
    }
  }

  private async change(random: Random, clients: string[], name: string): Promise<void> {
    const { writer, readers } = this.options;
    const { subscriptions } = this;
    const dice = random.next();
    if (subscriptions.length < 3 || dice < 0.03) {
      const id = `sub-${name}`;
      if (this.isAcknowledged(await writer.register(id))) subscriptions.push(id);
      return;
    }
    if (dice < 0.05) {
      this.isAcknowledged(await writer.end(subscriptions.shift() ?? '', 'The contract is over'));
      return;
    }
    if (clients.length === 0 || dice < 0.1) {
      const created = await writer.create({ name });
      if (!this.isAcknowledged(created)) return;
      clients.push(created.body.client.clientId);
      await this.readBack(random.pick(readers), created);
      return;
    }
    const clientId = random.pick(clients);
    const isLast = dice > 0.97;
    if (isLast) clients.splice(clients.indexOf(clientId), 1);
    const changed = await this.send(dice, clientId, random.pick(subscriptions), name);
    if (this.isAcknowledged(changed)) await this.readBack(random.pick(readers), changed);
  }

  private send(dice: number, clientId: string, subscription: string, name: string): Promise<Answer<ClientAnswer>> {
    const { writer } = this.options;
    if (dice > 0.97) return writer.revoke(clientId);
    if (dice > 0.7) return writer.assign(clientId, subscription);
    if (dice > 0.62) return writer.unassign(clientId, subscription);
    return writer.rename(clientId, name);
  }

  /** A command may also be refused because the subscription has ended, or because the log is away. */
  private isAcknowledged(answer: Answer<unknown>): boolean {
    if (answer.status < 300) {
      this.acknowledged += 1;
      return true;
    }
    if (answer.status === 503) answer.header('retry-after');
    else if (answer.status !== 409) throw new Error(`A command was answered ${answer.status} ${answer.text}`);
    return false;
  }

  private async readBack(reader: Portal, command: Answer<ClientAnswer>): Promise<void> {
    const { clientId, name, status, revision } = command.body.client;
    const [client, history] = await Promise.all([
      reader.get(clientId, readAfter(command)),
      reader.history(clientId, { limit: 200 }, readAfter(command)),
    ]);
    const refused = [client, history].filter((answer) => answer.status === 503);
    for (const answer of refused) {
      answer.header('retry-after');
      this.refused.push(answer.refusal);
    }
    if (refused.length > 0) return;
    // The process manager may have unassigned it since.
    const isThere = client.body.revision >= revision && client.body.name === name && client.body.status === status;
    if (!isThere || history.body.items.length <= revision) {
      this.strange.push(`Written: ${command.text}, read with its token: ${client.text}, ${history.text}`);
    }
    this.read += 1;
  }
}
