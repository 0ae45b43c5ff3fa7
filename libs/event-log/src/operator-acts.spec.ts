import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EndedManagementTokens,
  endManagementToken,
  type EventLog,
  follow,
  identifyLog,
  internalContext,
  LogUnavailable,
  LOOKS_HOLD_AFTER_MS,
  OPERATOR_ACTS_STREAM,
  readOperatorsTokens,
  recordAdministratorTokenRotation,
  recordManagementToken,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import { verifyChain } from '#events';

const now = () => new Date('2026-03-01T10:00:00.000Z');
const act = (reason?: string) => ({ reason, context: internalContext({ via: 'cli', subject: 'olga' }), now });

let folder: string;
let log: EventLog;
let ended: EndedManagementTokens;
let reads: jest.SpyInstance;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'operator-acts-'));
  log = await openSqliteEventLog({ file: join(folder, 'event-log.db') });
  await identifyLog(log, now);
  ended = new EndedManagementTokens(log);
  reads = jest.spyOn(log, 'readStream');
});
afterEach(async () => {
  jest.restoreAllMocks();
  await log.close();
  rmSync(folder, { recursive: true });
});

/** Records a management token. Resolves to its id. */
const issue = async (): Promise<string> => {
  const tokenId = randomUUID();
  const [issuedAt, expiresAt] = ['2026-03-01T10:00:00.000Z', '2026-03-01T11:00:00.000Z'];
  await recordManagementToken(
    log,
    { tokenId, tokenSubject: 'jane', scopes: ['clients:read'], issuedAt, expiresAt },
    act(),
  );
  return tokenId;
};

/** Appends an act that this release does not know. */
const appendUnknown = async () => {
  const [last] = await log.readStream(OPERATOR_ACTS_STREAM, { direction: 'backwards', limit: 1 });
  if (!last) throw new Error('There is no act');
  await log.append(OPERATOR_ACTS_STREAM, last.revision, [
    { ...last, eventId: randomUUID(), type: 'OperatorTeleported' },
  ]);
};

/** Lets the time pass after which an ending holds. */
const passUntilHeld = () => {
  const [monotonic, wall] = [performance.now() + LOOKS_HOLD_AFTER_MS, Date.now() + LOOKS_HOLD_AFTER_MS];
  jest.spyOn(performance, 'now').mockReturnValue(monotonic);
  jest.spyOn(Date, 'now').mockReturnValue(wall);
};

describe('the acts of operators', () => {
  it('are a whole chain with their actor and reason, and a token is ended once', async () => {
    const [leaked, kept] = [await issue(), await issue()];
    await recordAdministratorTokenRotation(log, act('Jane has left'));
    expect(await endManagementToken(log, leaked, act('Laptop lost'))).toBe(true);
    expect(await endManagementToken(log, leaked, act())).toBe(false);
    expect(await endManagementToken(log, randomUUID(), act())).toBeUndefined();
    const events = await log.readStream(OPERATOR_ACTS_STREAM);
    expect(events.map(({ type, data: { reason }, metadata: { actor } }) => [type, reason, actor.subject])).toEqual([
      ['ManagementTokenIssued', undefined, 'olga'],
      ['ManagementTokenIssued', undefined, 'olga'],
      ['AdministratorTokenRotated', 'Jane has left', 'olga'],
      ['ManagementTokenEnded', 'Laptop lost', 'olga'],
    ]);
    expect(await verifyChain(OPERATOR_ACTS_STREAM, events)).toMatchObject({ whole: true });
    expect((await readOperatorsTokens(log)).map(({ tokenId, endedBy }) => [tokenId, endedBy])).toEqual([
      [leaked, 'olga'],
      [kept, undefined],
    ]);
  });

  it('end a token for a process that knew it as good, when the time has passed after which they hold', async () => {
    const [leaked, kept] = [await issue(), await issue()];
    expect(await ended.has(leaked)).toBe(false);
    await endManagementToken(log, leaked, act());
    passUntilHeld();
    expect([await ended.has(leaked), await ended.has(kept)]).toEqual([true, false]);
    expect(await new EndedManagementTokens(log).has(leaked)).toBe(true);
  });

  it('are read once each, however often tokens are used', async () => {
    await issue();
    await ended.has(randomUUID());
    reads.mockClear();
    passUntilHeld();
    for (let use = 0; use < 100; use++) await ended.has(randomUUID());
    expect(reads.mock.calls).toEqual([[OPERATOR_ACTS_STREAM, expect.objectContaining({ from: 1n })]]);
  });

  it('leave it open whether a token is good while the log can’t be read: it does not count as good', async () => {
    reads.mockRejectedValue(new LogUnavailable('gone'));
    await expect(ended.has(randomUUID())).rejects.toThrow(LogUnavailable);
  });

  it('of a later release stop neither a look nor a list', async () => {
    const leaked = await issue();
    await appendUnknown();
    await endManagementToken(log, leaked, act());
    expect(await ended.has(leaked)).toBe(true);
    expect(await readOperatorsTokens(log)).toHaveLength(1);
  });

  it('are passed over by a follower, whose checkpoint never names one', async () => {
    await issue();
    const logId = await identifyLog(log, now);
    const over = new AbortController();
    const last = (await log.readAll({ limit: 100 })).findLast(({ stream }) => stream !== OPERATOR_ACTS_STREAM);
    const stored: unknown[] = [];
    await follow({
      ...{ name: 'clients', log, logId, streams: ['consumerClient-'] },
      checkpoints: {
        read: () => Promise.resolve(undefined),
        advance: (_, next) => Promise.resolve(stored.push(next) > 0),
      },
      apply: () => Promise.resolve(),
      signal: over.signal,
      observer: {
        outageBegan: () => undefined,
        outageEnded: () => undefined,
        progressed: () => {
          over.abort();
        },
      },
    });
    expect(stored).toEqual([{ logId, position: last?.position, eventId: last?.eventId }]);
  });
});
