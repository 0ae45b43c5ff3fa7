import { Command } from 'commander';
import { subjectOption, withBook, withSigningKeys } from './book.js';
import { credentialsByMasterKey } from './credentials-by-master-key.js';
import { masterKeysOf } from './master-keys.js';
import { configurationFrom, systemClock } from '#platform';

/** `master-key`: taking the former master key out of use. */
export const masterKeyCommand = (): Command =>
  new Command('master-key')
    .description('replace the master key (MASTER_KEY the new one, MASTER_KEY_PREVIOUS the former)')
    .addCommand(
      new Command('rotate')
        .description('wrap the signing keys under the current master key')
        .addOption(subjectOption())
        .action(async ({ subject }: { subject: string }) => {
          const count = await withSigningKeys(subject, ({ operations }) => operations.rewrap());
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
