import { masterKeyIdOf } from '#credentials';
import type { Instant } from '#domain';
import type { EventLog } from '#event-log';
import { type UpcastEvent } from '#events';
import { wholeLog } from './whole-log.js';

interface KeyedCredential {
  readonly generation: number;
  readonly masterKeyId: string;
  /** The end of its overlap; absent on the newest generation. */
  readonly expiresAt?: Instant;
}

/** How many of the credentials that are good at `at` were made under each master key, by its id. Reads the whole log. */
export async function credentialsByMasterKey(log: EventLog, at: Instant): Promise<Map<string, number>> {
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
