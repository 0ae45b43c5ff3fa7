import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { AuthenticationType, ClientId } from '#domain';
import { apiKeyOf } from '#credentials';
import { ClientView } from './client.js';

/** A credential as it is shown, once: for `API_KEY` the key, for `OAUTH2` the secret beside the client id. */
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

/** The answer to a command that makes a credential. */
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

/** `{apiKey}` or `{clientSecret}`, as the client's type has it. */
export const shownSecret = (type: AuthenticationType, clientId: ClientId, secret: string) =>
  type === 'API_KEY' ? { apiKey: apiKeyOf(clientId, secret) } : { clientSecret: secret };
