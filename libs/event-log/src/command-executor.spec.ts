import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClientId } from '#credentials';
import { type ClientId, DomainError, consumerClientStream } from '#domain';
import { type BookOfRecord, type EventLog, type ExecuteOptions, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { verifyChain } from '#events';

const WORKSPACE = 'acme';
const AT = '2026-01-01T00:00:00.000Z';
const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=a$b$c';

/** A process of its own: its own connection, its own cache. */
interface Node {
  readonly book: BookOfRecord;
  /** Reads of streams since the node was opened. */
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
const create = ({ clients }: BookOfRecord) => {
  const identity = { workspaceId: WORKSPACE, clientId, name: 'Orders', authenticationType: 'OAUTH2' } as const;
  return clients.execute(clientId, { type: 'CreateClient', ...identity, verifier: VERIFIER, at: AT }, context());
};
const renameAt = (
  { clients }: BookOfRecord,
  name: string,
  options: ExecuteOptions = { isNew: true },
  commandId?: string,
) =>
  clients.execute(
    clientId,
    { type: 'RenameClient', workspaceId: WORKSPACE, name, at: AT },
    context(commandId),
    options,
  );
const revokeAt = ({ clients }: BookOfRecord) =>
  clients.execute(clientId, { type: 'RevokeClient', workspaceId: WORKSPACE, reason: 'retired', at: AT }, context());

describe('two nodes on one log', () => {
  let here: Node;
  let there: Node;

  const openNode = async (): Promise<Node> => {
    const log = await openLog();
    const readStream = jest.spyOn(log, 'readStream');
    return { book: await openBook(log), reads: () => readStream.mock.calls.length };
  };

  const rename = ({ book }: Node, ...how: [name: string, options?: ExecuteOptions, commandId?: string]) =>
    renameAt(book, ...how);
  const revoke = ({ book }: Node) => revokeAt(book);
  const requireWholeChain = async () => {
    const stream = consumerClientStream(clientId);
    expect(await verifyChain(stream, await here.book.log.readStream(stream))).toMatchObject({ whole: true });
  };

  beforeEach(async () => {
    [here, there] = [await openNode(), await openNode()];
    await create(here.book);
    await rename(there, 'Orders (there)');
    await rename(here, 'Orders (here)');
  });

  it('change what nobody else has changed without a read', async () => {
    const before = here.reads();
    const { revision, state } = await rename(here, 'Invoices');
    expect({ revision, state }).toMatchObject({ revision: 3n, state: { name: 'Invoices' } });
    expect(here.reads()).toBe(before);
    await requireWholeChain();
  });

  it('lose no update of each other', async () => {
    for (let round = 0; round < 5; round++) {
      expect((await rename(here, `Here ${round}`)).outcome).toBe('changed');
      expect((await rename(there, `There ${round}`)).outcome).toBe('changed');
    }
    expect((await here.book.clients.read(clientId)).revision).toBe(12n);
    await requireWholeChain();
  });

  it('refuse what another node made impossible, and carry out what it made necessary', async () => {
    expect((await rename(there, 'Invoices')).outcome).toBe('changed');
    // Already true by what this node remembers.
    expect(await rename(here, 'Orders (here)')).toMatchObject({ outcome: 'changed', revision: 4n });
    await revoke(there);
    await expect(rename(here, 'Late')).rejects.toThrow(DomainError);
    await requireWholeChain();
  });

  it('compare If-Match with the stream, not with what they remember', async () => {
    const { revision } = await rename(there, 'Invoices');
    const ifMatch = revision ?? 0n;
    await expect(rename(here, 'Mine', { isNew: true, ifMatch: ifMatch - 1n })).rejects.toThrow(/revision|changed/i);
    expect(await rename(here, 'Mine', { isNew: true, ifMatch })).toMatchObject({ outcome: 'changed' });
  });

  it('answer a command that was sent to both with its one event, and go on chaining to it', async () => {
    const commandId = randomUUID();
    const first = await rename(there, 'Invoices', {}, commandId);
    // The very same event for the store, but for who asked: it would take it for a resend.
    expect(await rename(here, 'Invoices', {}, commandId)).toMatchObject({
      ...{ outcome: 'repeated', revision: first.revision },
    });
    await rename(here, 'Bills');
    await requireWholeChain();
  });

  it('go on from the stored event where both carried out one command at once', async () => {
    const commandId = randomUUID();
    await rename(there, 'Invoices', {}, commandId);
    // Read before the other one wrote: to the store this is a resend, though it was sealed here.
    jest.spyOn(here.book.log, 'readStream').mockResolvedValueOnce([]);
    await rename(here, 'Invoices', {}, commandId);
    expect(await rename(here, 'Bills')).toMatchObject({ outcome: 'changed', revision: 4n });
    await requireWholeChain();
  });
});

describe('a node whose log comes back restored to an older state', () => {
  /** The log that it sees: its own, and from `restore` on the backup. */
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
      get interruptions() {
        return isRestored ? 1 : 0;
      },
      append: (...call) => current().append(...call),
      readStream: (...call) => current().readStream(...call),
      readAll: (...call) => current().readAll(...call),
      eventAt: (...call) => current().eventAt(...call),
      end: () => current().end(),
      subscribe: (...call) => current().subscribe(...call),
      mark: () => current().mark(),
      close: () => Promise.resolve(),
    };
    [here, there] = [await openBook(log), await openBook(backup)];
    for (const name of ['Invoices', 'Bills', 'Receipts']) await renameAt(here, name);
  });

  it('decides on what is there now, not on what it remembers of the future', async () => {
    restore();
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 0n, state: { name: 'Orders' } });
    await revokeAt(there);
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 1n, state: { status: 'REVOKED' } });
    await expect(renameAt(here, 'Late')).rejects.toThrow(DomainError);
  });

  it('does so also where the log changes while it is being read', async () => {
    jest.spyOn(log, 'readStream').mockImplementationOnce(async (...call) => {
      restore();
      await revokeAt(there);
      return log.readStream(...call);
    });
    expect(await here.clients.read(clientId)).toMatchObject({ revision: 1n, state: { status: 'REVOKED' } });
  });
});
