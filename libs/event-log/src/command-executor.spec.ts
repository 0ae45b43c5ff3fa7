import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClientId } from '#credentials';
import { type AuthenticationType, type ClientId, consumerClient, DomainError } from '#domain';
import {
  type BookOfRecord,
  type CommandRequest,
  type EventLog,
  LogUnavailable,
  openBookOfRecord,
  QUARANTINES_STREAM,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { type RecordedEvent, verifyChain } from '#events';

type Conditions = Omit<CommandRequest, 'context'>;

const WORKSPACE = 'acme';
const AT = '2026-01-01T00:00:00.000Z';
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=a$b$c';

/** Plays the role of a process: a node has its own connection and its own cache. */
interface Node {
  readonly book: BookOfRecord;
  /** Returns how many reads of streams the node has sent since it was opened, without the looks for quarantines. */
  readonly reads: () => number;
}

let folder: string;
let logs: EventLog[];
let clientId: ClientId;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'command-executor-'));
  logs = [];
  clientId = newClientId();
});

afterEach(async () => {
  for (const log of logs) await log.close();
  rmSync(folder, { recursive: true });
});

const openLog = async (name = 'event-log.db'): Promise<EventLog> => {
  const log = await openSqliteEventLog({ file: join(folder, name) });
  logs.push(log);
  return log;
};
const openBook = (log: EventLog) => openBookOfRecord(log, () => new Date(AT));

const context = (commandId: string = randomUUID()) => ({
  ...{ commandId, commandHash: '0'.repeat(64), workspaceId: WORKSPACE },
  actor: { subject: 'a-test', roles: [], via: 'test' },
  ...{ correlationId: randomUUID(), causationId: randomUUID() },
});
const create = (
  { clients }: BookOfRecord,
  authenticationType: AuthenticationType = 'OAUTH2',
  conditions: Conditions = {},
) => {
  const identity = { workspaceId: WORKSPACE, clientId, name: 'Orders', authenticationType };
  const command = { type: 'CreateClient', ...identity, verifier: VERIFIER, at: AT } as const;
  return clients.execute(clientId, command, { context: context(), ...conditions });
};
const renameAt = (
  { clients }: BookOfRecord,
  name: string,
  conditions: Conditions = { isNew: true },
  commandId?: string,
) => {
  const command = { type: 'DescribeClient', workspaceId: WORKSPACE, name, at: AT } as const;
  return clients.execute(clientId, command, { context: context(commandId), ...conditions });
};
const revokeAt = ({ clients }: BookOfRecord) => {
  const command = { type: 'RevokeClient', workspaceId: WORKSPACE, reason: 'retired', at: AT } as const;
  return clients.execute(clientId, command, { context: context() });
};

describe('two nodes on one log', () => {
  let here: Node;
  let there: Node;

  const openNode = async (): Promise<Node> => {
    const log = await openLog();
    const readStream = jest.spyOn(log, 'readStream');
    const reads = () => readStream.mock.calls.filter(([stream]) => stream !== QUARANTINES_STREAM).length;
    return { book: await openBook(log), reads };
  };

  const rename = ({ book }: Node, ...how: [name: string, conditions?: Conditions, commandId?: string]) =>
    renameAt(book, ...how);
  const revoke = ({ book }: Node) => revokeAt(book);
  const requireWholeChain = async () => {
    const stream = consumerClient.stream(clientId);
    expect(await verifyChain(stream, await here.book.log.readStream(stream))).toMatchObject({ whole: true });
  };

  beforeEach(async () => {
    [here, there] = [await openNode(), await openNode()];
    await create(here.book);
    await rename(there, 'Orders (there)');
    await rename(here, 'Orders (here)');
  });

  it('need no read to change a stream that nobody else has changed', async () => {
    const before = here.reads();
    const { revision, state } = await rename(here, 'Invoices');
    expect({ revision, state }).toMatchObject({ revision: 3n, state: { name: 'Invoices' } });
    expect(here.reads()).toBe(before);
    await requireWholeChain();
  });

  it('need no read to begin a stream that the caller knows to be missing, but are refused if it exists', async () => {
    clientId = newClientId();
    const missing = { isNew: true, stream: 'missing' } as const;
    const before = here.reads();
    expect(await create(here.book, 'OAUTH2', missing)).toMatchObject({ outcome: 'changed', revision: 0n });
    expect(here.reads()).toBe(before);
    await rename(here, 'Invoices');
    await expect(create(there.book, 'OAUTH2', missing)).rejects.toThrow(DomainError);
    await requireWholeChain();
  });

  it('lose none of each other’s updates', async () => {
    for (let round = 0; round < 5; round++) {
      expect((await rename(here, `Here ${round}`)).outcome).toBe('changed');
      expect((await rename(there, `There ${round}`)).outcome).toBe('changed');
    }
    expect((await here.book.clients.read(clientId)).revision).toBe(12n);
    await requireWholeChain();
  });

  it('refuse a command that another node made impossible, and carry out one that it made necessary', async () => {
    expect((await rename(there, 'Invoices')).outcome).toBe('changed');
    // In the state that this node remembers, the client already has this name. In the log, the other node has changed
    // the name.
    expect(await rename(here, 'Orders (here)')).toMatchObject({ outcome: 'changed', revision: 4n });
    await revoke(there);
    await expect(rename(here, 'Late')).rejects.toThrow(DomainError);
    await requireWholeChain();
  });

  it('compare If-Match with the stream, not with the remembered state', async () => {
    const { revision } = await rename(there, 'Invoices');
    const ifMatch = revision ?? 0n;
    await expect(rename(here, 'Mine', { isNew: true, ifMatch: ifMatch - 1n })).rejects.toThrow(/revision|changed/i);
    expect(await rename(here, 'Mine', { isNew: true, ifMatch })).toMatchObject({ outcome: 'changed' });
  });

  it('answer a command that was sent to both with its one event, and chain the next event to it', async () => {
    const commandId = randomUUID();
    const first = await rename(there, 'Invoices', {}, commandId);
    // This command's event has the same id as the first command's event. If the executor appended it, the store would
    // take the append for a repetition of the first one.
    expect(await rename(here, 'Invoices', {}, commandId)).toMatchObject({
      ...{ outcome: 'repeated', revision: first.revision },
    });
    await rename(here, 'Bills');
    await requireWholeChain();
  });

  it('continue from the stored event when both carried out one command at once', async () => {
    const commandId = randomUUID();
    await rename(there, 'Invoices', {}, commandId);
    // This node's read does not return what the other node wrote. So this node appends too, and the store takes the
    // append for a repetition of the other node's append.
    jest.spyOn(here.book.log, 'readStream').mockResolvedValueOnce([]);
    await rename(here, 'Invoices', {}, commandId);
    expect(await rename(here, 'Bills')).toMatchObject({ outcome: 'changed', revision: 4n });
    await requireWholeChain();
  });
});

it('a node that writes the versions of the release before has the same state as a node that reads them', async () => {
  const here = await openBookOfRecord(await openLog(), () => new Date(AT), 'previous');
  const there = await openBook(await openLog());
  await create(here, 'API_KEY');
  const issueAt = (jti: string, issuedAt: string) => {
    const times = { issuedAt, expiresAt: '2027-01-01T00:00:00.000Z' };
    const token = { generation: 1, jti, kid: 'key', ...times, header: {}, claims: {} };
    const command = { type: 'IssueStaticToken', token, compromisedKids: [], at: AT } as const;
    return here.clients.execute(clientId, command, { context: context(), isNew: true });
  };
  await issueAt('jti-1', '2026-01-01T00:10:00.000Z');
  const { state } = await issueAt('jti-2', AT);
  expect((await there.clients.read(clientId)).state).toEqual(state);
  expect((await here.clients.read(clientId)).state).toEqual(state);
});

describe('a stream whose last event a wrong clock dated ten minutes too late', () => {
  const TEN_MINUTES_LATER = '2026-01-01T00:10:00.000Z';
  const stream = () => consumerClient.stream(clientId);
  let book: BookOfRecord;

  beforeEach(async () => {
    book = await openBook(await openLog());
    await create(book);
    const command = { type: 'DescribeClient', workspaceId: WORKSPACE, name: 'Later', at: TEN_MINUTES_LATER } as const;
    await book.clients.execute(clientId, command, { context: context() });
  });

  it.each([true, false])(
    'lets a command (new: %s) be decided by its own time, and dates its event after the last',
    async (isNew) => {
      const rotation = { workspaceId: WORKSPACE, verifier: VERIFIER, overlapSeconds: 300, at: AT };
      const command = { type: 'RotateSecret', ...rotation } as const;
      await book.clients.execute(clientId, command, { context: context(), isNew });
      const [rotated] = (await book.log.readStream(stream())).slice(-1);
      expect(rotated).toMatchObject({
        type: 'ConsumerClientSecretRotated',
        data: { rotatedAt: AT, previousExpiresAt: '2026-01-01T00:05:00.000Z' },
        metadata: { occurredAt: TEN_MINUTES_LATER },
      });
    },
  );

  it('never dates an event before an earlier one', async () => {
    await renameAt(book, 'First');
    await renameAt(book, 'Second');
    const dates = (await book.log.readStream(stream())).map(({ metadata }) => metadata.occurredAt);
    expect(dates).toEqual([AT, TEN_MINUTES_LATER, TEN_MINUTES_LATER, TEN_MINUTES_LATER]);
  });
});

describe('a stream that is too long to be read in one call', () => {
  /** More events than the cache holds commands of other streams. */
  const EVENTS = 201_000;
  const FIRST_PAGE_EVENTS = 100;
  const PAGE_EVENTS = 500;

  /** Returns a function that makes pages of a stream of renames. All renames are copies of one stored rename. */
  const longStream = async (book: BookOfRecord) => {
    const [created, renamed] = await book.log.readStream(consumerClient.stream(clientId));
    if (!created || !renamed) throw new Error('The stream has no rename');
    const eventAt = (revision: number): RecordedEvent =>
      revision === 0
        ? created
        : {
            ...renamed,
            revision: BigInt(revision),
            metadata: { ...renamed.metadata, commandId: `command ${revision}` },
          };
    return (from: bigint, limit: number) =>
      Array.from({ length: Math.max(0, Math.min(limit, EVENTS - Number(from))) }, (_, i) => eventAt(Number(from) + i));
  };

  it('is read by several calls, each of which continues where the time of the last one ended', async () => {
    const book = await openBook(await openLog());
    await create(book);
    await renameAt(book, 'Invoices');
    const page = await longStream(book);
    const other = await openBook(book.log);
    let pages = 0;
    jest.spyOn(book.log, 'readStream').mockImplementation((stream, { from = 0n, limit = Infinity } = {}) => {
      if (stream === QUARANTINES_STREAM) return Promise.resolve([]);
      if (++pages % 201 === 0) return Promise.reject(new LogUnavailable('Too slow'));
      return Promise.resolve(page(from, limit));
    });

    await expect(other.clients.read(clientId)).rejects.toThrow(LogUnavailable);
    await expect(other.clients.read(clientId)).rejects.toThrow(LogUnavailable);
    expect(await other.clients.read(clientId)).toMatchObject({ revision: BigInt(EVENTS - 1) });
    const pagesOfStream = 1 + Math.ceil((EVENTS - FIRST_PAGE_EVENTS) / PAGE_EVENTS);
    expect(pages).toBe(pagesOfStream + 2);
    // The whole stream is remembered, although it has more commands than the cache's size.
    expect(await other.clients.read(clientId)).toMatchObject({ revision: BigInt(EVENTS - 1) });
    expect(pages).toBe(pagesOfStream + 3);
  });
});

describe('a node whose log comes back restored to an older state', () => {
  /** The log that the node `here` uses. `restore` exchanges the current log for a backup with an older state. */
  let log: EventLog;
  let restore: () => void;
  let here: BookOfRecord;
  let there: BookOfRecord;

  beforeEach(async () => {
    const first = await openSqliteEventLog({ file: join(folder, 'event-log.db') });
    await create(await openBook(first));
    await first.close();
    copyFileSync(join(folder, 'event-log.db'), join(folder, 'backup.db'));
    const [now, backup] = [await openLog(), await openLog('backup.db')];
    let isRestored = false;
    restore = () => (isRestored = true);
    const current = () => (isRestored ? backup : now);
    log = {
      sealHoldsAfterMs: 0,
      clockSkewMs: 0,
      clockBehindMs: 0,
      get connectionEpoch() {
        return isRestored ? 1 : 0;
      },
      get snapshots() {
        return current().snapshots;
      },
      get missingHistory() {
        return current().missingHistory;
      },
      restored: undefined,
      append: (...call) => current().append(...call),
      readStream: (...call) => current().readStream(...call),
      readAll: (...call) => current().readAll(...call),
      eventAt: (...call) => current().eventAt(...call),
      end: () => current().end(),
      subscribe: (...call) => current().subscribe(...call),
      mark: () => current().mark(),
      rememberNewest: () => current().rememberNewest(),
      findCuts: (signal) => current().findCuts(signal),
      watchCuts: (...call) => current().watchCuts(...call),
      close: () => Promise.resolve(),
    };
    [here, there] = [await openBook(log), await openBook(backup)];
    for (const name of ['Invoices', 'Bills', 'Receipts']) await renameAt(here, name);
  });

  it('decides on the restored state, not on the remembered state of a lost future', async () => {
    restore();
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 0n, state: { name: 'Orders' } });
    await revokeAt(there);
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 1n, state: { status: 'REVOKED' } });
    await expect(renameAt(here, 'Late')).rejects.toThrow(DomainError);
  });

  it('compares the log’s id before it begins a stream, even if the caller knows the stream to be missing', async () => {
    restore();
    const readStream = jest.spyOn(log, 'readStream');
    clientId = newClientId();
    await create(here, 'OAUTH2', { isNew: true, stream: 'missing' });
    expect(readStream.mock.calls.map(([stream]) => stream)).toContain('log');
  });

  it.each([
    ['as long as before', 3],
    ['shorter than before', 1],
  ])('decides again if the log was restored while it decided, and the stream is %s', async (_, renames) => {
    for (let count = 0; count < renames; count++) await renameAt(there, `There ${count}`);
    const rename = { type: 'DescribeClient', workspaceId: WORKSPACE, name: 'Late', at: AT } as const;
    const commandOn = () => {
      restore();
      return rename;
    };
    const { revision } = await here.clients.execute(clientId, commandOn, { context: context() });
    expect(revision).toBe(BigInt(renames + 1));
    const stream = consumerClient.stream(clientId);
    expect(await verifyChain(stream, await log.readStream(stream))).toMatchObject({ whole: true });
    expect(log.missingHistory.all).toEqual([]);
  });

  it('does so even if the log changes while it is being read', async () => {
    jest.spyOn(log, 'readStream').mockImplementationOnce(async (...call) => {
      restore();
      await revokeAt(there);
      return log.readStream(...call);
    });
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 1n, state: { status: 'REVOKED' } });
  });
});
