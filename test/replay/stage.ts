import { randomUUID } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import {
  type ClientId,
  type ConsumerClientCommand,
  type Instant,
  secondsAfter,
  type SubscriptionCommand,
  type SubscriptionId,
} from '#domain';
import {
  type BookOfRecord,
  type ConsistencyToken,
  type Executed,
  followed,
  type FollowedEvent,
  isSelected,
  openBookOfRecord,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import {
  type CommandContext,
  type EventVersions,
  type RecordedEvent,
  seal,
  type UsageEntry,
  usageStream,
} from '#events';
import {
  type BuildName,
  type Projection,
  type ProjectionObserver,
  Projector,
  readModels,
  type ReadStore,
  type StoredDocument,
} from '#read-models';
import { openSqliteReadStore } from '#read-models/sqlite';

export const WORKSPACE = 'acme';
/** A part of every verifier (Argon2id hash of a secret) in these tests. No document may contain this text. */
export const VERIFIER_MARK = 'VeryfyMeNever';

export const verifier = (mark = ''): string => `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$${VERIFIER_MARK}${mark}`;
export const clientNamed = (label: string | number): ClientId => `cc_${String(label).padStart(20, 'A')}`;

/** A use that succeeded, in generation 1 and for all subscriptions unless `change` says otherwise. */
export const usageEntry = (client: ClientId, at: Instant, change: Partial<UsageEntry> = {}): UsageEntry => ({
  ...{ client, generation: 1, subscription: null, outcome: 'OK', count: 1, first: at, last: at },
  ...change,
});

/** An event log and a read store in new files, and a clock that advances by one second with every command. */
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

  /** The dependencies that projectors, rebuilds and queries need. */
  get stores() {
    return { log: this.log, logId: this.logId, store: this.store, now: this.now };
  }

  client(id: ClientId, command: ConsumerClientCommand): Promise<Executed<unknown>> {
    return this.book.clients.execute(id, command, { context: this.context() });
  }

  subscription(id: SubscriptionId, command: SubscriptionCommand): Promise<Executed<unknown>> {
    return this.book.subscriptions.execute(id, command, { context: this.context() });
  }

  /** Returns the consistency token that the HTTP answer to this command would carry. */
  token({ position }: Executed<unknown>): ConsistencyToken {
    if (position === undefined) throw new Error('Nothing was read or written');
    return { logId: this.logId, position };
  }

  at(): string {
    this.seconds += 1;
    return this.now().toISOString();
  }

  /** Changes the clock by this many seconds, which may be negative, as if another node answered from now on. */
  changeClock(seconds: number): void {
    this.seconds += seconds;
  }

  create(label: string | number, name = `Client ${label}`): Promise<Executed<unknown>> {
    const clientId = clientNamed(label);
    return this.client(clientId, {
      ...{ type: 'CreateClient', clientId, workspaceId: WORKSPACE, name },
      ...{ authenticationType: 'API_KEY', verifier: verifier(), at: this.at() },
    });
  }

  rename(label: string | number, name: string): Promise<Executed<unknown>> {
    return this.client(clientNamed(label), { type: 'DescribeClient', workspaceId: WORKSPACE, name, at: this.at() });
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

  /** Claims the endpoint URI of a subscription, as its registration over HTTP does first. */
  claim(subscriptionId: SubscriptionId): Promise<unknown> {
    const context = this.context();
    return this.book.endpointUris.execute(
      subscriptionId,
      {
        ...{ type: 'ClaimEndpointUri', endpointUri: subscriptionId, workspaceId: WORKSPACE, subscriptionId },
        ...{ commandId: context.commandId, holderIsRegistered: false, at: this.at() },
      },
      { context },
    );
  }

  /**
   * Appends a usage event, as an auth process does. `lastUsedAt`: when the auth process last saw each client, in
   * generation 1.
   */
  used(process: string, lastUsedAt: Readonly<Record<ClientId, Instant>>): Promise<unknown> {
    const entries = Object.entries(lastUsedAt).map(([client, at]) => usageEntry(client as ClientId, at));
    return this.recordUsage(process, entries);
  }

  /** Appends a usage event to the stream that this auth process has today. */
  async recordUsage(process: string, entries: readonly UsageEntry[], versions?: EventVersions): Promise<unknown> {
    const stream = usageStream(this.at(), process);
    const [last] = await this.log.readStream(stream, { direction: 'backwards', limit: 1, consistency: 'strong' });
    const usage = { type: 'UsageRecorded', data: { process, entries, unknownClients: 0 } } as const;
    const link = last && { revision: last.revision, hash: last.metadata.hash };
    const { workspaceId: _, ...context } = this.context();
    return this.log.append(stream, last?.revision ?? 'none', seal(stream, link, [usage], context, this.at(), versions));
  }

  async assign(label: string | number, subscriptionId: SubscriptionId): Promise<Executed<unknown>> {
    const { state: subscription } = await this.book.subscriptions.read(subscriptionId);
    const command = { type: 'AssignToSubscription', workspaceId: WORKSPACE, subscription, at: this.at() } as const;
    return this.client(clientNamed(label), command);
  }

  /** Resolves to all events in the log, in order. */
  async events(): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for (;;) {
      const after = events.at(-1)?.position;
      const page = await this.log.readAll(after === undefined ? {} : { after });
      if (page.length === 0) return events;
      events.push(...page);
    }
  }

  /** Copies the read store. Returns a function that restores the copy while other connections are open. */
  snapshot(): () => Promise<void> {
    const copy = join(this.directory, `copy-${randomUUID()}.db`);
    const connection = new Database(this.readModelsFile);
    connection.exec(`VACUUM INTO '${copy}'`);
    connection.close();
    return () => this.replaceReadStore(copy);
  }

  /** Replaces the read store by a file that is not a database. Resolves to a function that restores the read store. */
  async breakReadStore(): Promise<() => Promise<void>> {
    const restore = this.snapshot();
    const broken = join(this.directory, 'broken.db');
    await writeFile(broken, 'This is no database. '.repeat(400));
    await this.replaceReadStore(broken);
    return restore;
  }

  private async replaceReadStore(file: string): Promise<void> {
    // If the `-wal` and `-shm` files stayed, SQLite would recover the old content from these files.
    await rm(`${this.readModelsFile}-wal`, { force: true });
    await rm(`${this.readModelsFile}-shm`, { force: true });
    await rename(file, this.readModelsFile);
  }

  private get readModelsFile(): string {
    return join(this.directory, 'read-models.db');
  }

  /** Projects the log into a build (copy of a projection's documents) until the build has caught up. */
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
    for (const projection of readModels) await this.project(projection);
  }

  private context(): CommandContext {
    const commandId = randomUUID();
    return {
      ...{ commandId, commandHash: '', workspaceId: WORKSPACE, correlationId: commandId, causationId: commandId },
      actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
    };
  }
}

/** An observer that ignores everything, for tests that check for themselves whether a projection has stopped. */
export const silent: ProjectionObserver = {
  outageBegan: () => undefined,
  outageEnded: () => undefined,
  stopped: () => undefined,
};

/** Computes the documents of a read model by folding the events in memory, without a store. */
export function plainFold<Doc>(
  projection: Projection<Doc>,
  events: readonly RecordedEvent[],
): Map<string, StoredDocument<Doc>> {
  const documents = new Map<string, StoredDocument<Doc>>();
  let ordinal = 0;
  for (const recorded of events) {
    if (!isSelected(projection, recorded)) continue;
    const event = followed(recorded, projection.isNumbered && ordinal++);
    for (const id of projection.documentsOf(event)) {
      const before = documents.get(id);
      const revision = revisionOf(projection, event, id) ?? before?.revision ?? -1n;
      documents.set(id, { id, position: event.position, revision, doc: projection.apply(before?.doc, event, id) });
    }
  }
  return documents;
}

const revisionOf = (
  { streamOf }: Pick<Projection, 'streamOf'>,
  event: FollowedEvent,
  id: string,
): bigint | undefined => {
  if (streamOf === undefined) return 0n;
  return event.stream === streamOf(id) ? event.revision : undefined;
};

/** Resolves to all documents of a build (copy of a projection's documents), by their ids. */
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

/** Polls until the condition holds. Throws if the condition does not hold within `withinMs`. */
export async function until(holds: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`Did not come true within ${withinMs} ms: ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
