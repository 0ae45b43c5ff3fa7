import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { apiKeyOf } from '#credentials';
import {
  type AuthenticationType,
  type ClientId,
  consumerClient,
  type ConsumerClientState,
  type CreateClient,
  newestCredential,
  type RotateSecret,
} from '#domain';
import type { CommandRequest, Executed } from '#event-log';
import type { ManagementDependencies } from '../dependencies.js';
import { ClientView } from './client.js';

/**
 * A new credential. The API shows the credential once: as `apiKey` for the type `API_KEY`, as `clientSecret` for
 * `OAUTH2`.
 */
export class IssuedCredential {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ example: 1 })
  generation!: number;

  @ApiPropertyOptional({ description: 'API_KEY: base64 of clientId:secret, usable as it is' })
  apiKey?: string;

  @ApiPropertyOptional({ description: 'OAUTH2' })
  clientSecret?: string;
}

/** Response body of a command that creates a credential. */
export class ClientWithCredential {
  @ApiProperty({ type: ClientView })
  client!: ClientView;

  @ApiPropertyOptional({ type: IssuedCredential, description: 'Only without a draft, and only in the first answer' })
  credential?: IssuedCredential;

  @ApiPropertyOptional({
    description: 'In a repeated answer: the credential was shown in the first one; who lost it rotates',
  })
  credentialShown?: true;
}

export interface CredentialResult {
  readonly executed: Executed<ConsumerClientState>;
  /**
   * Absent if the request attaches a draft (a credential that was minted and shown before), or if the command is a
   * repetition.
   */
  readonly credential?: IssuedCredential;
}

/**
 * Mints a credential and attaches it to the client by `command`. Returns the credential only if this call has
 * appended the event. A repetition of the command returns no credential.
 */
export async function executeWithNewCredential(
  { book, mint }: ManagementDependencies,
  clientId: ClientId,
  command: Omit<CreateClient, 'verifier'> | Omit<RotateSecret, 'verifier'>,
  request: CommandRequest,
): Promise<CredentialResult> {
  let secret: string | undefined;
  const executed = await book.clients.execute(
    clientId,
    async (state) => {
      // A refused command throws here, before the secret is hashed by Argon2, which is slow.
      consumerClient.decide(state, { ...command, verifier: '' });
      const minted = await mint.mint(clientId);
      secret = minted.secret;
      return { ...command, verifier: minted.verifier };
    },
    request,
  );
  const { outcome, state } = executed;
  // If another process has carried out the same command first, the secret minted here does not belong to the client.
  if (secret === undefined || outcome !== 'changed' || state.status !== 'ACTIVE') return { executed };
  const { generation } = newestCredential(state);
  const shown = shownSecret(state.authenticationType, clientId, secret);
  return { executed, credential: { clientId, generation, ...shown } };
}

/** Returns `{apiKey}` or `{clientSecret}`, depending on the client's type. */
export const shownSecret = (type: AuthenticationType, clientId: ClientId, secret: string) =>
  type === 'API_KEY' ? { apiKey: apiKeyOf(clientId, secret) } : { clientSecret: secret };
