import type { LoginAnswer, OAuthErrorAnswer } from '../support/api/login.js';
import { INACTIVE } from '../support/api/oauth.js';
import { paste, shellBlocks } from '../support/processes/shell-blocks.js';
import { Standalone } from '../support/processes/standalone.js';

const GUIDE = 'docs/authentication.md';
const PUBLIC_URL = 'https://login.acme.example';

let server: Standalone;

beforeAll(async () => {
  server = await Standalone.startReady({ env: { PUBLIC_URL } });
});

afterAll(() => server.stop());

test('a developer who pastes the guide’s blocks sees the output that the guide shows', async () => {
  const blocks = ['For API consumers', 'For gateway operators'].map((heading) => shellBlocks(GUIDE, heading));
  const lines = await paste(blocks.join('\n'), { BASE: server.url, DATA_DIR: server.dataDir });
  const next = (): string => lines.shift() ?? '';
  const json = (): unknown => JSON.parse(next());
  /** Parses the next line, which curl's `-w` prints as `{…} 400`. Returns the OAuth error and the HTTP status. */
  const refusal = (): [string, number] => {
    const [, body = '', status] = /^(.*) (\d{3})$/.exec(next()) ?? [];
    return [(JSON.parse(body) as OAuthErrorAnswer).error, Number(status)];
  };

  for (const way of ['by Basic', 'as a form', 'as JSON']) {
    const pair = json() as LoginAnswer;
    expect([way, pair.expires_in, pair.token_type, typeof pair.refresh_token]).toEqual([way, 300, 'Bearer', 'string']);
  }
  const fixed = json() as LoginAnswer;
  expect(fixed).toMatchObject({ token_type: 'Bearer' });
  expect(fixed).not.toHaveProperty('refresh_token');
  expect(fixed.expires_in).toBeGreaterThan(31_535_900);

  const claims = json() as { sub: string };
  expect(claims).toMatchObject({ aud: `${PUBLIC_URL}/acme-weather`, subscription_id: 'acme-weather' });
  expect(next()).toBe('refreshed: good for 300');
  expect(json()).toMatchObject({ active: true, client_id: claims.sub, subscription_id: 'acme-weather' });

  expect(next()).toBe('revoked: 200');
  expect(next()).toBe(INACTIVE);
  expect(json()).toMatchObject({ error: 'invalid_grant' });

  expect(json()).toMatchObject({ issuer: PUBLIC_URL, token_endpoint: `${PUBLIC_URL}/login` });
  expect(next()).toBe('EdDSA sig');

  expect(refusal()).toEqual(['invalid_client', 401]);
  expect(refusal()).toEqual(['unauthorized_client', 400]);
  expect(refusal()).toEqual(['unsupported_grant_type', 400]);

  const check = (): [string, Record<string, string>] => {
    const status = next();
    const headers: Record<string, string> = {};
    while (lines[0]?.startsWith('x-')) {
      const [name = '', value = ''] = next().split(': ');
      headers[name] = value;
    }
    return [status, headers];
  };
  const consumer = {
    'x-consumer-client-id': claims.sub,
    'x-consumer-workspace-id': 'acme',
    'x-consumer-subscription-id': 'acme-weather',
  };
  expect(check()).toEqual(['HTTP/1.1 200 OK', { 'x-auth-code': 'GOOD', ...consumer }]);
  expect(check()).toEqual(['HTTP/1.1 403 Forbidden', { 'x-auth-code': 'SUBSCRIPTION_NOT_LIVE' }]);
  expect(check()).toEqual(['HTTP/1.1 401 Unauthorized', { 'x-auth-code': 'NO_TOKEN' }]);
  expect(lines).toEqual([]);
});
