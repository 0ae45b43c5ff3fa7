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
import type { Revision } from '#events';
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

/** The expiry of a credential in a request. */
export const EXPIRY_FIELD = {
  format: 'date-time',
  example: '2027-11-24T09:00:00Z',
  description:
    'When the new credential, and every token that comes from it, stops being good: in the future, and at most ten years away. Default: never. The client stays active, and a rotation gives it a new credential',
} as const;

/** The state on which a command on a client is decided. */
export interface KnownClient {
  readonly state: ConsumerClientState;
  readonly revision: Revision | undefined;
}

type WithoutSecret<Command> = Omit<Command, 'verifier' | 'hint'>;

/**
 * Mints a credential and attaches it to the client by the command that `newCommand` returns. `prepare` is called with
 * the complete command and the client's state, immediately before the append. Returns the credential only if this call
 * has appended the event. A repetition of the command returns no credential.
 */
export async function executeWithNewCredential<Command extends CreateClient | RotateSecret>(
  { book, mint }: ManagementDependencies,
  clientId: ClientId,
  newCommand: () => WithoutSecret<Command> | Promise<WithoutSecret<Command>>,
  request: CommandRequest,
  prepare?: (known: KnownClient, command: Command) => Promise<void>,
): Promise<CredentialResult> {
  let secret: string | undefined;
  const executed = await book.clients.execute(
    clientId,
    async (state, revision) => {
      const unfinished = await newCommand();
      const withSecret = (verifier: string, hint: string) => ({ ...unfinished, verifier, hint }) as Command;
      // A refused command throws here, before the secret is hashed by Argon2, which is slow.
      consumerClient.decide(state, withSecret('', ''));
      const minted = await mint.mint(clientId);
      secret = minted.secret;
      const command = withSecret(minted.verifier, minted.hint);
      await prepare?.({ state, revision }, command);
      return command;
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
