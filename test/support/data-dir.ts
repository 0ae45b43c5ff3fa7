import { join } from 'node:path';
import { MasterKeys } from '#credentials';
import type { ClientId } from '#domain';
import { type EventLog, openBookOfRecord } from '#event-log';
import { openSqliteEventLog } from '#event-log/sqlite';
import type { UsageRecorded } from '#events';
import { standaloneMasterKey } from '#platform';
import { SigningKeyRing, type TokenSigner } from '#tokens';
import { Cli } from './cli.js';

/** The key that a standalone signs with, for tokens that nothing but what they say gives away. */
export const signerOf = (dataDir: string): Promise<TokenSigner> =>
  withEventLog(dataDir, async (log) => {
    const { signingKeys } = await openBookOfRecord(log, () => new Date());
    const masterKeys = MasterKeys.from({ current: standaloneMasterKey(dataDir), previous: [] });
    const ring = new SigningKeyRing(signingKeys, masterKeys, { alg: 'EdDSA' });
    return ring.signer(await ring.state());
  });

/** `keys compromise` of the key that signs. */
export async function compromiseSigningKey(dataDir: string): Promise<void> {
  const { kid } = await signerOf(dataDir);
  const { code, stderr } = await Cli.run(['keys', 'compromise', kid], { DATA_DIR: dataDir });
  if (code !== 0) throw new Error(stderr);
}

/** Types of the stream's events, whatever a standalone on the same directory is doing. */
export const eventTypesOf = (dataDir: string, stream: string): Promise<string[]> =>
  withEventLog(dataDir, async (log) =>
    (await log.readStream(stream, { consistency: 'strong' })).map(({ type }) => type),
  );

/** How often the client was used, as auth processes have recorded it so far. */
export const usesOf = (dataDir: string, clientId: string): Promise<number> =>
  withEventLog(dataDir, async (log) => {
    const events = await log.readAll({ limit: 10_000 });
    const usages = events.filter(({ type }) => type === 'UsageRecorded');
    return usages.reduce(
      (sum, { data }) => sum + ((data as UsageRecorded['data']).clients[clientId as ClientId]?.uses ?? 0),
      0,
    );
  });

async function withEventLog<T>(dataDir: string, work: (log: EventLog) => Promise<T>): Promise<T> {
  const log = await openSqliteEventLog({ file: join(dataDir, 'event-log.db') });
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}
