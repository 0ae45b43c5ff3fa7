import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consumerClient } from '#domain';
import { type CommandContext, type LogEvent, seal } from '#events';
import { openSqliteReadStore } from '#read-models/sqlite';
import { clientNamed, verifier, WORKSPACE } from '../replay/stage.js';
import { eventually } from '../support/api/http.js';
import { eventsIn, expectReadModelsToBeTheFold, readModelsCaughtUp, withEventLog } from '../support/events/audit.js';
import { inGroups } from '../support/load/in-groups.js';
import { Standalone } from '../support/processes/standalone.js';

const CLIENTS = 1_500;
const RENAMES = 13;
const KILLS = 3;
const AT = '2026-03-01T08:00:00.000Z';

const context = (): CommandContext => {
  const commandId = randomUUID();
  return {
    ...{ commandId, commandHash: '', workspaceId: WORKSPACE, correlationId: commandId, causationId: commandId },
    actor: { subject: 'portal', roles: ['clients:write'], via: 'http' },
  };
};

/** Writes a log of 21,000 events, each client's events in two groups that lie far apart. */
const writeLog = (dataDir: string) =>
  withEventLog(dataDir, async (log) => {
    const renames = Array.from({ length: RENAMES }, (_, n) => {
      return { type: 'ConsumerClientRenamed', data: { name: `Name ${n}` } } as const;
    });
    const labels = Array.from({ length: CLIENTS }, (_, label) => label);
    const last = new Map<number, { revision: bigint; hash: string }>();
    const append = async (label: number, events: readonly LogEvent[]) => {
      const stream = consumerClient.stream(clientNamed(label));
      const sealed = seal(stream, last.get(label), events, context(), AT);
      const { revision } = await log.append(stream, last.get(label)?.revision ?? 'none', sealed);
      last.set(label, { revision, hash: sealed.at(-1)?.metadata.hash ?? '' });
    };
    await inGroups(labels, (label) => {
      const clientId = clientNamed(label);
      const created = {
        ...{ clientId, workspaceId: WORKSPACE, name: 'New', verifier: verifier(), createdAt: AT },
        authenticationType: 'API_KEY',
      } as const;
      return append(label, [{ type: 'ConsumerClientCreated', data: created }]);
    });
    await inGroups(labels, (label) => append(label, renames));
  });

describe('a standalone that builds its read models for the first time', () => {
  let dataDir: string;
  let standalone: Standalone | undefined;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'fresh-build-'));
  });
  afterEach(async () => {
    await standalone?.kill();
    rmSync(dataDir, { recursive: true });
  });

  it(`goes on where it was after ${KILLS} kills, and its read models equal the fold of the log`, async () => {
    // The first start creates the log and its master key.
    standalone = await Standalone.startReady({ dataDir });
    await standalone.stop();
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dataDir, `read-models.db${suffix}`), { force: true });
    await writeLog(dataDir);
    const store = await openSqliteReadStore({ file: join(dataDir, 'read-models.db') });
    const reached = async () => (await store.checkpoint('history_v3_1').catch(() => undefined))?.position ?? '';
    try {
      let before = '';
      for (let kill = 0; kill < KILLS; kill++) {
        standalone = await Standalone.start({ dataDir });
        await eventually(reached, (position) => position > before);
        await standalone.kill();
        before = await reached();
      }
    } finally {
      await store.close();
    }
    standalone = await Standalone.start({ dataDir });
    await standalone.ready();
    await readModelsCaughtUp(dataDir);
    await standalone.stop();
    await expectReadModelsToBeTheFold(dataDir, await eventsIn(dataDir));
  });
});
