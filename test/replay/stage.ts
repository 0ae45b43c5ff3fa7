import { randomUUID } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import {
  type ClientId,
  type ConsumerClientCommand,
  type Instant,
  type SubscriptionCommand,
  type SubscriptionId,
  secondsAfter,
} from '#domain';
import { type BookOfRecord, type ConsistencyToken, type Executed, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type CommandContext, type RecordedEvent, seal, usageStream } from '#events';
import {
  type BuildName,
  type ProjectionObserver,
  type Projection,
  type ReadStore,
  type StoredDocument,
  Projector,
  followed,
  projections,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';

export const WORKSPACE = 'acme';
/** Part of every verifier: must be found in no document. */
export const VERIFIER_MARK = 'VeryfyMeNever';

export const verifier = (mark = ''): string => `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$${VERIFIER_MARK}${mark}`;
export const clientNamed = (label: string | number): ClientId => `cc_${String(label).padStart(20, 'A')}`;

/** A book of record and a read store on files of their own, and a clock that moves a second with every command. */
export class Stage {
  private seconds = 0;

  private constructor(
    readonly directory: string,
    readonly book: BookOfRecord,
    readonly store: ReadStore,
    private readonly start: string,
  ) {}

  static async open(start = '2026-03-01T00:00:00.000Z'): Promise<Stage> {
    const directory = await mkdtemp(join(tmpdir(), 'replay-'));
    const log = await openSqliteEventLog({ file: join(directory, 'events.db') });
    const book = await openBookOfRecord(log, () => new Date(start));
    const store = await openSqliteReadStore({ file: join(directory, 'read-models.db') });
    return new Stage(directory, book, store, start);
  }

  get log() {
    return this.book.log;
  }

  get logId(): string {
    return this.book.logId;
  }

  readonly now = (): Date => new Date(secondsAfter(this.start, this.seconds));

  async close(): Promise<void> {
    await this.log.close();
    await this.store.close();
    await rm(this.directory, { recursive: true });
  }

  /** What projectors, rebuilds and queries are made with. */
  get stores() {
    return { log: this.log, logId: this.logId, store: this.store, now: this.now };
  }

  client(id: ClientId, command: ConsumerClientCommand): Promise<Executed<unknown>> {
    return this.book.clients.execute(id, command, this.context());
  }

  subscription(id: SubscriptionId, command: SubscriptionCommand): Promise<Executed<unknown>> {
    return this.book.subscriptions.execute(id, command, this.context());
  }

  /** What the command's answer would carry. */
  token({ position }: Executed<unknown>): ConsistencyToken {
    if (position === undefined) throw new Error('Nothing was read or written');
    return { logId: this.logId, position };
  }

  at(): string {
    this.seconds += 1;
    return this.now().toISOString();
  }

  create(label: string | number, name = `Client ${label}`): Promise<Executed<unknown>> {
    const clientId = clientNamed(label);
    return this.client(clientId, {
      ...{ type: 'CreateClient', clientId, workspaceId: WORKSPACE, name },
      ...{ authenticationType: 'API_KEY', verifier: verifier(), at: this.at() },
    });
  }

  rename(label: string | number, name: string): Promise<Executed<unknown>> {
    return this.client(clientNamed(label), { type: 'RenameClient', workspaceId: WORKSPACE, name, at: this.at() });
  }

  revoke(label: string | number, reason = 'retired'): Promise<Executed<unknown>> {
    return this.client(clientNamed(label), { type: 'RevokeClient', workspaceId: WORKSPACE, reason, at: this.at() });
  }

  register(subscriptionId: SubscriptionId, serviceName = `Service ${subscriptionId}`): Promise<Executed<unknown>> {
    return this.subscription(subscriptionId, {
      ...{ type: 'RegisterSubscription', subscriptionId, workspaceId: WORKSPACE, serviceName },
      ...{ endpointUri: subscriptionId, at: this.at() },
    });
  }

  /** What one auth process records: when it saw each of the clients. */
  async used(process: string, lastUsedAt: Readonly<Record<ClientId, Instant>>): Promise<unknown> {
    const stream = usageStream(this.at(), process);
    const [last] = await this.log.readStream(stream, { direction: 'backwards', limit: 1, consistency: 'strong' });
    const clients = Object.fromEntries(
      Object.entries(lastUsedAt).map(([clientId, at]) => [clientId, { uses: 1, lastUsedAt: at }]),
    );
    const usage = { type: 'UsageRecorded', data: { process, clients } } as const;
    const link = last && { revision: last.revision, hash: last.metadata.hash };
    const { workspaceId: _, ...context } = this.context();
    return this.log.append(stream, last?.revision ?? 'none', seal(stream, link, [usage], context, this.at()));
  }

  async assign(label: string | number, subscriptionId: SubscriptionId): Promise<Executed<unknown>> {
    const { state: subscription } = await this.book.subscriptions.read(subscriptionId);
    const command = { type: 'AssignToSubscription', workspaceId: WORKSPACE, subscription, at: this.at() } as const;
    return this.client(clientNamed(label), command);
  }

  /** Everything in the log, in order. */
  async events(): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for (;;) {
      const after = events.at(-1)?.position;
      const page = await this.log.readAll(after === undefined ? {} : { after });
      if (page.length === 0) return events;
      events.push(...page);
    }
  }

  /** Keeps the read store as it is now; answers how to put it back beneath those who have it open. */
  snapshot(): () => Promise<void> {
    const copy = join(this.directory, `copy-${randomUUID()}.db`);
    const connection = new Database(this.readModelsFile);
    connection.exec(`VACUUM INTO '${copy}'`);
    connection.close();
    return () => this.replaceReadStore(copy);
  }

  /** Puts a file in the read store's place that is no read store; answers how to put it back. */
  async breakReadStore(): Promise<() => Promise<void>> {
    const restore = this.snapshot();
    const broken = join(this.directory, 'broken.db');
    await writeFile(broken, 'This is no database. '.repeat(400));
    await this.replaceReadStore(broken);
    return restore;
  }

  private async replaceReadStore(file: string): Promise<void> {
    // SQLite would repair the file with them.
    await rm(`${this.readModelsFile}-wal`, { force: true });
    await rm(`${this.readModelsFile}-shm`, { force: true });
    await rename(file, this.readModelsFile);
  }

  private get readModelsFile(): string {
    return join(this.directory, 'read-models.db');
  }

  /** Feeds a build until it has caught up. */
  async project<Doc>(projection: Projection<Doc>, options: { build?: BuildName } = {}): Promise<void> {
    const { build = `${projection.name}_v${projection.version}_1` } = options;
    const stop = new AbortController();
    const projector = new Projector({ ...this.stores, projection, build, observer: silent });
    const running = projector.run(stop.signal);
    await Promise.race([projector.caughtUp, running]);
    stop.abort();
    await running;
  }

  async projectAll(): Promise<void> {
    for (const projection of projections) await this.project(projection);
  }

  private context(): CommandContext {
    const commandId = randomUUID();
    return {
      ...{ commandId, commandHash: '', workspaceId: WORKSPACE, correlationId: commandId, causationId: commandId },
      actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
    };
  }
}

/** For those whose stops are seen by the test itself. */
export const silent: ProjectionObserver = {
  outageBegan: () => undefined,
  outageEnded: () => undefined,
  stopped: () => undefined,
};

/** The read model by its definition: one event after another, with no store. */
export function plainFold<Doc>(
  projection: Projection<Doc>,
  events: readonly RecordedEvent[],
): Map<string, StoredDocument<Doc>> {
  const documents = new Map<string, StoredDocument<Doc>>();
  for (const recorded of events) {
    const event = followed(recorded);
    for (const id of projection.documentsOf(event)) {
      const before = documents.get(id);
      const revision = event.stream === projection.streamOf(id) ? event.revision : (before?.revision ?? -1n);
      documents.set(id, { id, position: event.position, revision, doc: projection.apply(before?.doc, event, id) });
    }
  }
  return documents;
}

/** All that a build holds, by id. */
export async function storedDocuments<Doc>(
  store: ReadStore,
  build: BuildName,
): Promise<Map<string, StoredDocument<Doc>>> {
  const documents: StoredDocument<Doc>[] = [];
  for (;;) {
    const page = await store.scan<Doc>(build, documents.at(-1)?.id, 500);
    if (page.length === 0) return new Map(documents.map((document) => [document.id, document]));
    documents.push(...page);
  }
}

/** Looks again until it holds: what is waited for comes from another loop. */
export async function until(holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`Did not come true within ${withinMs} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
