import { type Answer, eventually } from '../api/http.js';
import { type ClientAnswer, type Portal, readAfter } from '../api/portal.js';
import { Random } from './random.js';

export interface PortalLoadOptions {
  /** The portal that sends the commands. */
  readonly writer: Portal;
  /**
   * The portals that send queries. Each change is read back through a random portal of this list, which may change
   * while the load runs.
   */
  readonly readers: readonly Portal[];
  readonly seed: number;
  readonly callers?: number;
  /**
   * The names and ids that this load chooses begin with this prefix. Several loads with different prefixes can share a
   * log.
   */
  readonly prefix?: string;
}

/**
 * Portal backends that change clients without pause. Each caller has its own clients and reads each change back with
 * the change's consistency token. The response must show the acknowledged change, unless the response is a 503 with
 * `Retry-After`.
 */
export class PortalLoad {
  /** Number of commands that were acknowledged. */
  acknowledged = 0;
  /** Number of changes that were read back. */
  read = 0;
  /** The queries that were refused with 503. */
  readonly refused: string[] = [];
  /** Descriptions of responses that no caller may get. */
  readonly unexpected: string[] = [];
  private readonly subscriptions: string[] = [];
  private changes = 0;
  private isOver = false;
  private readonly callers: Promise<unknown>;

  constructor(private readonly options: PortalLoadOptions) {
    const { callers = 6 } = options;
    this.callers = Promise.all(Array.from({ length: callers }, (_, number) => this.call(number)));
  }

  /** Resolves when `changes` more changes have been read back, or when a response was unexpected. */
  async waitForReads(changes: number): Promise<void> {
    await this.waitFor(() => this.read, changes);
  }

  /** Resolves when `reads` more queries have been refused, or when a response was unexpected. */
  async waitForRefusals(reads: number): Promise<void> {
    await this.waitFor(() => this.refused.length, reads);
  }

  /** Stops the load. Resolves when each caller has the response to its last request. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.callers;
  }

  private async waitFor(count: () => number, by: number): Promise<void> {
    const enough = count() + by;
    await eventually(
      () => Promise.resolve({ count: count(), unexpected: this.unexpected }),
      (now) => now.count >= enough || now.unexpected.length > 0,
    );
  }

  private async call(number: number): Promise<void> {
    const random = new Random(this.options.seed + number);
    const clients: string[] = [];
    while (!this.isOver) {
      try {
        await this.change(random, clients, `${this.options.prefix ?? 'load'}-${number}-${++this.changes}`);
      } catch (error) {
        this.unexpected.push(String(error));
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

  /**
   * Tells whether a command was acknowledged. A command may be refused with 409 (the subscription has ended) or 503
   * (the log is unavailable). Throws for any other status.
   */
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
    // The revision may be higher than the command's, because the process manager may have unassigned the client after
    // the command.
    const isThere = client.body.revision >= revision && client.body.name === name && client.body.status === status;
    if (!isThere || history.body.items.length <= revision) {
      this.unexpected.push(`Written: ${command.text}, read with its token: ${client.text}, ${history.text}`);
    }
    this.read += 1;
  }
}
