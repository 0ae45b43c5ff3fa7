import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
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

describe('two nodes on one log', () => {
  let folder: string;
  let logs: EventLog[];
  let here: Node;
  let there: Node;
  let clientId: ClientId;

  const openNode = async (): Promise<Node> => {
    const log = await openSqliteEventLog({ file: join(folder, 'event-log.db') });
    logs.push(log);
    const readStream = jest.spyOn(log, 'readStream');
    const book = await openBookOfRecord(log, () => new Date(AT));
    return { book, reads: () => readStream.mock.calls.length };
  };

  const context = (commandId: string = randomUUID()) => ({
    ...{ commandId, commandHash: '0'.repeat(64), workspaceId: WORKSPACE },
    actor: { subject: 'a-test', roles: [], via: 'test' },
    ...{ correlationId: randomUUID(), causationId: randomUUID() },
  });
  const rename = ({ book }: Node, name: string, options: ExecuteOptions = { isNew: true }, commandId?: string) =>
    book.clients.execute(
      clientId,
      { type: 'RenameClient', workspaceId: WORKSPACE, name, at: AT },
      context(commandId),
      options,
    );
  const revoke = ({ book }: Node) =>
    book.clients.execute(
      clientId,
      { type: 'RevokeClient', workspaceId: WORKSPACE, reason: 'retired', at: AT },
      context(),
    );
  const requireWholeChain = async () => {
    const stream = consumerClientStream(clientId);
    expect(await verifyChain(stream, await here.book.log.readStream(stream))).toMatchObject({ whole: true });
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'command-executor-'));
    logs = [];
    [here, there] = [await openNode(), await openNode()];
    clientId = newClientId();
    const identity = { workspaceId: WORKSPACE, clientId, name: 'Orders', authenticationType: 'OAUTH2' } as const;
    await here.book.clients.execute(
      clientId,
      { type: 'CreateClient', ...identity, verifier: VERIFIER, at: AT },
      context(),
    );
    await rename(there, 'Orders (there)');
    await rename(here, 'Orders (here)');
  });

  afterEach(async () => {
    for (const log of logs) await log.close();
    rmSync(folder, { recursive: true });
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
