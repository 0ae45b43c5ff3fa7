import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { openSqliteEventLog } from '#event-log/sqlite';
import { newEvents } from '../support/events/new-events.js';
import { eventLogContract } from './event-log.js';

const folder = mkdtempSync(join(tmpdir(), 'event-log-'));
const file = join(folder, 'events.db');

eventLogContract('SQLite', {
  open: () => openSqliteEventLog({ file }),
  appendForeign: async (stream, count) => {
    const log = await openSqliteEventLog({ file });
    await log.append(stream, 'none', newEvents(count));
    await log.close();
  },
  isolated: () => {
    const place = join(folder, `${randomUUID()}.db`);
    return Promise.resolve({
      open: () => openSqliteEventLog({ file: place }),
      remove: () => {
        rmSync(place);
        return Promise.resolve();
      },
    });
  },
  freeze: () => {
    const other = new Database(file);
    other.exec('BEGIN IMMEDIATE');
    return Promise.resolve(() => {
      other.exec('ROLLBACK');
      other.close();
      return Promise.resolve();
    });
  },
  close: () => {
    rmSync(folder, { recursive: true });
    return Promise.resolve();
  },
});
