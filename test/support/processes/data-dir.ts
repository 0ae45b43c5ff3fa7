import { MasterKeys } from '#credentials';
import { openBookOfRecord } from '#event-log';
import { upcast, type UsageRecorded } from '#events';
import { standaloneMasterKey } from '#stores';
import { SigningKeyRing, type TokenSigner } from '#tokens';
import { withEventLog } from '../events/audit.js';
import { Cli } from './cli.js';

/**
 * Returns a signer with the signing key of a standalone process (all apps in one). With this signer, a test can make
 * tokens whose signature is valid but whose claims are wrong.
 */
export const signerOf = (dataDir: string): Promise<TokenSigner> =>
  withEventLog(dataDir, async (log) => {
    const { signingKeys } = await openBookOfRecord(log, () => new Date());
    const masterKeys = MasterKeys.from({ current: standaloneMasterKey(dataDir), previous: [] });
    const ring = new SigningKeyRing(signingKeys, masterKeys, { alg: 'EdDSA' });
    return ring.signer(await ring.state());
  });

/** Runs the CLI command `keys compromise` for the current signing key. */
export async function compromiseSigningKey(dataDir: string): Promise<void> {
  const { kid } = await signerOf(dataDir);
  const { code, stderr } = await Cli.run(['keys', 'compromise', kid], { DATA_DIR: dataDir });
  if (code !== 0) throw new Error(stderr);
}

/** Returns the types of the stream's events. A standalone process (all apps in one) may be using the data directory. */
export const eventTypesOf = (dataDir: string, stream: string): Promise<string[]> =>
  withEventLog(dataDir, async (log) =>
    (await log.readStream(stream, { consistency: 'strong' })).map(({ type }) => type),
  );

/** Returns the data of all usage events in the log, in their current form. What is not yet recorded is missing. */
export const usageIn = (dataDir: string): Promise<UsageRecorded['data'][]> =>
  withEventLog(dataDir, async (log) =>
    (await log.readAll({ limit: 10_000 }))
      .map(upcast)
      .flatMap((event) => (event.type === 'UsageRecorded' ? [event.data] : [])),
  );

/**
 * Returns how often the client was used with success, according to the usage events in the log. Uses that are not yet
 * recorded don't count.
 */
export async function usesOf(dataDir: string, clientId: string): Promise<number> {
  const entries = (await usageIn(dataDir)).flatMap((usage) => usage.entries);
  const uses = entries.filter(({ client, outcome }) => client === clientId && outcome === 'OK');
  return uses.reduce((sum, { count }) => sum + count, 0);
}
