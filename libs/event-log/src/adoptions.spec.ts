import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adoptLog,
  type EventLog,
  identifyLog,
  internalContext,
  LogIsSealed,
  readAdoptions,
  sealLog,
  unsealLog,
} from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';

const now = () => new Date('2026-11-30T12:00:00.000Z');

let folder: string;
let log: EventLog;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adoptions-'));
  log = await openSqliteEventLog({ file: join(folder, 'event-log.db') });
});
afterEach(async () => {
  await log.close();
  rmSync(folder, { recursive: true });
});

const adopt = (reason: string) => adoptLog(log, { reason, context: internalContext({ via: 'cli' }), now });

it('a log is adopted at its end, as often as it was restored', async () => {
  await identifyLog(log, now);
  await adopt('The backup of Sunday');
  await adopt('The backup of Monday');
  const events = await log.readAll();
  expect(await readAdoptions(log)).toMatchObject(
    ['The backup of Sunday', 'The backup of Monday'].map((reason, index) => ({
      reason,
      adoptedAt: now().toISOString(),
      position: events[index]?.position,
      eventId: events[index]?.eventId,
    })),
  );
});

it('a sealed log is not adopted before it is unsealed', async () => {
  await identifyLog(log, now);
  await sealLog(log, { reason: 'It is moved', now });
  await expect(adopt('The backup of Sunday')).rejects.toThrow(LogIsSealed);
  expect(await readAdoptions(log)).toEqual([]);
  await unsealLog(log, { reason: 'It stays', now });
  await adopt('The backup of Sunday');
  expect(await readAdoptions(log)).toHaveLength(1);
});

it('an empty log can’t be adopted', async () => {
  await expect(adopt('The backup of Sunday')).rejects.toThrow('This event log is empty');
  expect(await log.readAll()).toEqual([]);
});
