import { Command } from 'commander';
import { masterKeyIdOf } from '#credentials';
import type { Instant } from '#domain';
import type { EventLog } from '#event-log';
import type { UpcastEvent } from '#events';
import { configurationFrom, systemClock } from '#platform';
import { masterKeysOf, subjectOption, wholeLog, withBook, withSigningKeys } from './environment.js';

/**
 * `master-key rotate` wraps (encrypts) the signing keys under the current master key. `master-key usage` counts the
 * credentials and signing keys that need each master key.
 */
export const masterKeyCommand = (): Command =>
  new Command('master-key')
    .description('replace the master key (MASTER_KEY the new one, MASTER_KEY_PREVIOUS the former)')
    .addCommand(
      new Command('rotate')
        .description('wrap the signing keys under the current master key')
        .addOption(subjectOption())
        .action(async ({ subject }: { subject: string }) => {
          const count = await withSigningKeys(subject, (operations) => operations.rewrap());
          console.log(`${count} signing keys were wrapped anew`);
        }),
    )
    .addCommand(
      new Command('usage')
        .description('count what needs each master key; one that nothing needs may be taken out of MASTER_KEY_PREVIOUS')
        .action(async () => {
          const { currentId } = masterKeysOf(configurationFrom(process.env));
          const { credentials, keys } = await withBook(async ({ log, signingKeys }) => ({
            credentials: await credentialsByMasterKey(log, systemClock().toISOString()),
            keys: (await signingKeys.read()).state.keys.filter(({ status }) => status !== 'COMPROMISED'),
          }));
          const ids = new Set([currentId, ...credentials.keys(), ...keys.map(({ masterKeyId }) => masterKeyId)]);
          for (const id of ids) {
            const wrapped = keys.filter(({ masterKeyId }) => masterKeyId === id).length;
            const role = id === currentId ? 'current' : 'previous';
            console.log(`${id}  ${role.padEnd(8)}  ${credentials.get(id) ?? 0} credentials  ${wrapped} signing keys`);
          }
        }),
    );

interface KeyedCredential {
  readonly generation: number;
  readonly masterKeyId: string;
  /** Time when this generation of the client's secret becomes invalid. Absent on the newest generation. */
  readonly expiresAt?: Instant;
}

/**
 * Counts the credentials that are valid at `at`. Each credential is counted under the id of the master key that it
 * needs. Reads the whole log.
 */
async function credentialsByMasterKey(log: EventLog, at: Instant): Promise<Map<string, number>> {
  const credentials = new Map<string, readonly KeyedCredential[]>();
  for await (const event of wholeLog(log)) apply(credentials, event);
  const counts = new Map<string, number>();
  for (const { masterKeyId, expiresAt } of [...credentials.values()].flat()) {
    if (expiresAt === undefined || at < expiresAt) counts.set(masterKeyId, (counts.get(masterKeyId) ?? 0) + 1);
  }
  return counts;
}

function apply(credentials: Map<string, readonly KeyedCredential[]>, event: UpcastEvent): void {
  const { stream } = event;
  const known = credentials.get(stream) ?? [];
  switch (event.type) {
    case 'ConsumerClientCreated':
      credentials.set(stream, [{ generation: 1, masterKeyId: masterKeyIdOf(event.data.verifier) }]);
      break;
    case 'ConsumerClientSecretRotated': {
      const { generation, verifier, previousExpiresAt } = event.data;
      const previous = known.slice(-1).map((credential) => ({ ...credential, expiresAt: previousExpiresAt }));
      credentials.set(stream, [...previous, { generation, masterKeyId: masterKeyIdOf(verifier) }]);
      break;
    }
    case 'ConsumerClientCredentialRetired':
      credentials.set(
        stream,
        known.filter(({ generation }) => generation !== event.data.generation),
      );
      break;
    case 'ConsumerClientRevoked':
      credentials.delete(stream);
  }
}
