import { Command } from 'commander';
import { masterKeyIdOf } from '#credentials';
import type { Instant } from '#domain';
import { type BookOfRecord, type EventLog, eventsToNow } from '#event-log';
import { UnknownEvent, upcast, type UpcastEvent } from '#events';
import { configurationFrom, systemClock } from '#platform/without-http';
import {
  type ActOptions,
  masterKeysOf,
  reasonOption,
  subjectOption,
  withBook,
  withSigningKeys,
} from './environment.js';
import { ExitCode } from './exit.js';
import { counted, printResult, tableLines } from './output.js';

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
        .addOption(reasonOption())
        .addOption(subjectOption())
        .action(async (options: ActOptions) => {
          const count = await withSigningKeys('REWRAP', options, (operations) => operations.rewrap());
          printResult({ rewrapped: count }, [`Wrapped anew: ${counted(count, 'signing key')}`]);
        }),
    )
    .addCommand(
      new Command('usage')
        .description('count what needs each master key; one that nothing needs may be taken out of MASTER_KEY_PREVIOUS')
        .action(async () => {
          const { currentId } = masterKeysOf(configurationFrom(process.env));
          const { credentials, keys, unknown } = await withBook(usageOfMasterKeys);
          const ids = [...new Set([currentId, ...credentials.keys(), ...(keys?.keys() ?? [])])];
          const masterKeys = ids.map((id) => ({
            ...{ id, role: id === currentId ? 'current' : 'previous', credentials: credentials.get(id) ?? 0 },
            signingKeys: keys ? (keys.get(id) ?? 0) : null,
          }));
          printResult(
            { masterKeys, notUnderstood: Object.fromEntries(unknown) },
            tableLines(
              ['MASTER KEY', 'ROLE', 'CREDENTIALS', 'SIGNING KEYS'],
              masterKeys.map((key) => [key.id, key.role, String(key.credentials), String(key.signingKeys ?? '?')]),
            ),
          );
          if (unknown.size === 0) return;
          for (const [event, count] of unknown) console.error(`Not understood: ${event} (${counted(count, 'event')})`);
          console.error(
            'These events may need a master key, too. Ask the command line of the release that wrote them.',
          );
          process.exitCode = ExitCode.INCOMPLETE;
        }),
    );

/** Numbers of credentials and signing keys, by the id of the master key that they need. */
interface MasterKeyUsage {
  readonly credentials: ReadonlyMap<string, number>;
  /** `undefined` if the stream of signing keys has an unknown event. */
  readonly keys: ReadonlyMap<string, number> | undefined;
  /** How many events of each unknown type and version the log has. */
  readonly unknown: ReadonlyMap<string, number>;
}

async function usageOfMasterKeys({ log, signingKeys }: BookOfRecord): Promise<MasterKeyUsage> {
  const credentials = await credentialsByMasterKey(log, systemClock().toISOString());
  const keys = await signingKeys.read().then(
    ({ state }) => countBy(state.keys.filter(({ status }) => status !== 'COMPROMISED')),
    (error: unknown) => {
      if (error instanceof UnknownEvent) return undefined;
      throw error;
    },
  );
  return { ...credentials, keys };
}

interface KeyedCredential {
  readonly generation: number;
  readonly masterKeyId: string;
  /** Time when this generation of the client's secret becomes invalid. */
  readonly expiresAt?: Instant;
}

/**
 * Counts the credentials that are valid at `at`. Reads the whole log. An event that this program does not know, or that
 * can't be read, is counted in `unknown`, and otherwise skipped.
 */
async function credentialsByMasterKey(
  log: EventLog,
  at: Instant,
): Promise<Pick<MasterKeyUsage, 'credentials' | 'unknown'>> {
  const credentials = new Map<string, readonly KeyedCredential[]>();
  const unknown = new Map<string, number>();
  for await (const recorded of eventsToNow(log)) {
    try {
      apply(credentials, upcast(recorded));
    } catch (error) {
      if (!(error instanceof UnknownEvent) && !recorded.unreadable) throw error;
      const version = error instanceof UnknownEvent ? `version ${error.schemaVersion}` : 'that can’t be read';
      const event = `${recorded.type} ${version}`;
      unknown.set(event, (unknown.get(event) ?? 0) + 1);
    }
  }
  const valid = [...credentials.values()].flat().filter(({ expiresAt }) => expiresAt === undefined || at < expiresAt);
  return { credentials: countBy(valid), unknown };
}

function countBy(items: readonly { readonly masterKeyId: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { masterKeyId } of items) counts.set(masterKeyId, (counts.get(masterKeyId) ?? 0) + 1);
  return counts;
}

const keyedCredential = (
  generation: number,
  { verifier, expiresAt }: { readonly verifier: string; readonly expiresAt?: Instant },
): KeyedCredential => ({
  ...{ generation, masterKeyId: masterKeyIdOf(verifier) },
  ...(expiresAt !== undefined && { expiresAt }),
});

function apply(credentials: Map<string, readonly KeyedCredential[]>, event: UpcastEvent): void {
  const { stream } = event;
  const known = credentials.get(stream) ?? [];
  switch (event.type) {
    case 'ConsumerClientCreated':
      credentials.set(stream, [keyedCredential(1, event.data)]);
      break;
    case 'ConsumerClientSecretRotated': {
      const { generation, previousExpiresAt } = event.data;
      const previous = known.slice(-1).map((credential) => ({ ...credential, expiresAt: previousExpiresAt }));
      credentials.set(stream, [...previous, keyedCredential(generation, event.data)]);
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
