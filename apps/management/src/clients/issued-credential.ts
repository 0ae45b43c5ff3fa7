import { ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';
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
import { type AnswerForm, form } from '../requests/api-documentation.js';
import { ClientView, EXAMPLE_CLIENT } from './client.js';

/** No secret: it lacks a keyed check that this service would accept. */
export const EXAMPLE_SECRET = `ccs_${'Example'.repeat(7)}`;
export const EXAMPLE_API_KEY = apiKeyOf('cc_4fT0kq9wZr1sVb7XyN2mLp', EXAMPLE_SECRET);

/**
 * A new credential. The API shows the credential once: as `apiKey` for the type `API_KEY`, as `clientSecret` for
 * `OAUTH2`.
 */
abstract class IssuedCredentialBase {
  @ApiProperty({ example: 'cc_4fT0kq9wZr1sVb7XyN2mLp' })
  clientId!: string;

  @ApiProperty({ type: 'integer', minimum: 1, example: 1 })
  generation!: number;
}

export class IssuedApiKey extends IssuedCredentialBase {
  @ApiProperty({ description: 'The base64 of `clientId:secret`, which is sent as it is', example: EXAMPLE_API_KEY })
  apiKey!: string;
}

export class IssuedClientSecret extends IssuedCredentialBase {
  @ApiProperty({ example: EXAMPLE_SECRET })
  clientSecret!: string;
}

export type IssuedCredential = IssuedApiKey | IssuedClientSecret;

/** Response body of a command that creates no credential, or whose credential was shown before, as a draft. */
export class ClientAnswer {
  @ApiProperty({ type: ClientView })
  client!: ClientView;
}

/** Response body of a command that creates a credential, and of no repetition. */
@ApiExtraModels(IssuedApiKey, IssuedClientSecret)
export class ClientWithCredential extends ClientAnswer {
  @ApiProperty({
    oneOf: [{ $ref: getSchemaPath(IssuedApiKey) }, { $ref: getSchemaPath(IssuedClientSecret) }],
    description: 'Is not shown again',
  })
  credential!: IssuedCredential;
}

/** Response body of a repeated command that has created a credential. */
export class ClientWithShownCredential extends ClientAnswer {
  @ApiProperty({
    type: 'boolean',
    enum: [true],
    description: 'The credential was in the first answer. If it is lost, rotate the secret',
  })
  credentialShown!: true;
}

/** The forms of the answers to commands that create a credential. */
export type CredentialAnswer = ClientAnswer | ClientWithCredential | ClientWithShownCredential;

const OAUTH2_CLIENT: ClientView = { ...EXAMPLE_CLIENT, name: 'Route planner', authenticationType: 'OAUTH2' };

/** Describes the forms of a `CredentialAnswer`. `generation` is that of the new credential. */
export const credentialForms = (generation: number): readonly [AnswerForm, ...AnswerForm[]] => {
  const { createdAt, clientId } = EXAMPLE_CLIENT;
  const changes = { subscriptions: [], credentials: [{ generation, createdAt }], revision: generation - 1 };
  const client = { ...EXAMPLE_CLIENT, ...changes };
  return [
    form(ClientWithCredential, {
      apiKey: { client, credential: { clientId, generation, apiKey: EXAMPLE_API_KEY } },
      clientSecret: {
        client: { ...OAUTH2_CLIENT, ...changes },
        credential: { clientId, generation, clientSecret: EXAMPLE_SECRET },
      },
    }),
    form(ClientAnswer, { withDraft: { client } }),
    form(ClientWithShownCredential, { repeated: { client, credentialShown: true } }),
  ];
};

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
