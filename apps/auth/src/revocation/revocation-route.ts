import type { ClientAuthentication } from '../oauth/client-authentication.js';
import type { OAuthEndpoint } from '../oauth/oauth-route.js';
import { required } from '../oauth/parameters.js';
import { presentedCredentials } from '../oauth/presented-credentials.js';
import type { Revocation } from './revocation.js';

/** `POST /oauth/revoke` (RFC 7009): for clients of both types. A `token_type_hint` adds nothing: tokens tell. */
export const revocationEndpoint = (revocation: Revocation, authentication: ClientAuthentication): OAuthEndpoint => ({
  pattern: '/oauth/revoke',
  matches: (path) => path === '/oauth/revoke',
  answer: async (request) => {
    const { parameters, authorization, id } = request;
    const token = required(parameters, 'token');
    const { client } = await authentication.authenticate(presentedCredentials(parameters, authorization), request);
    await revocation.revoke(token, client, id);
    return undefined;
  },
});
