import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { OpenAPIObject } from '@nestjs/swagger';
import { MANAGEMENT_SCOPES } from '#tokens';
import { eventually, send } from '../support/api/http.js';
import type { ClientAnswer } from '../support/api/portal.js';
import { paste, shellBlocks } from '../support/processes/shell-blocks.js';
import { Standalone } from '../support/processes/standalone.js';

const ROOT = join(__dirname, '../..');
const GUIDE = 'docs/management-tokens.md';
const SECRET = 'a secret of the tests only';

/** A port that was free a moment ago. The issuer's URL contains it, so it must be known before the issuer starts. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

const answers = (url: string) =>
  send('GET', url, '/jwks').then(
    ({ status }) => status === 200,
    () => false,
  );

describe('docs/management-tokens.md', () => {
  let issuer: ChildProcess;
  let issuerUrl: string;
  let service: Standalone;

  beforeAll(async () => {
    const port = await freePort();
    issuerUrl = `http://127.0.0.1:${port}`;
    const env = { PATH: process.env.PATH, PORT: String(port), ISSUER_CLIENT_SECRET: SECRET };
    issuer = spawn(process.execPath, ['examples/issuer/issuer.mjs'], { cwd: ROOT, env, stdio: 'ignore' });
    await eventually(
      () => answers(issuerUrl),
      (isUp) => isUp,
    );
    service = await Standalone.startReady({
      env: {
        MANAGEMENT_ISSUER: issuerUrl,
        MANAGEMENT_JWKS_URL: `${issuerUrl}/jwks`,
        MANAGEMENT_AUDIENCE: 'consumer-clients',
      },
    });
  });

  afterAll(async () => {
    await service.stop();
    issuer.kill();
    await once(issuer, 'exit');
  });

  const variables = () => ({ ISSUER: issuerUrl, BASE: service.url, ISSUER_CLIENT_SECRET: SECRET });

  /** Returns a token that the issuer gives to one of its clients. */
  const tokenOf = async (client: string, scope: string): Promise<string> => {
    const answer = await send<{ access_token: string }>('POST', issuerUrl, '/token', {
      headers: {
        authorization: `Basic ${Buffer.from(`${client}:${encodeURIComponent(SECRET)}`).toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: Buffer.from(new URLSearchParams({ grant_type: 'client_credentials', scope }).toString()),
    });
    return answer.body.access_token;
  };
  const get = (path: string, token: string, headers = {}) =>
    send('GET', service.url, path, { headers: { authorization: `Bearer ${token}`, ...headers } });

  it('shows how a portal backend gets a token of another issuer, and uses it', async () => {
    const lines = await paste(shellBlocks(GUIDE, 'A development issuer'), variables());
    const { client } = JSON.parse(lines.join('\n')) as ClientAnswer;
    expect(client).toMatchObject({ workspaceId: 'acme', name: 'Forecast importer' });
    const history = await get(`/v1/clients/${client.clientId}/history`, await tokenOf('auditor', 'audit:read'));
    expect(history.text).toContain('"subject":"portal-backend"');
  });

  it('lets tokens of the issuer do what their scopes and their workspace allow', async () => {
    const reader = await tokenOf('portal-backend', 'clients:read');
    expect((await get('/v1/clients', reader)).status).toBe(200);
    expect((await get('/v1/clients', reader, { 'x-workspace-id': 'globex' })).refusal).toBe('403 INSUFFICIENT_SCOPE');
    const writer = await tokenOf('portal-backend', 'clients:write');
    expect((await get('/v1/clients', writer)).refusal).toBe('403 INSUFFICIENT_SCOPE');
    const operator = await tokenOf('operator', 'clients:read workspaces:any');
    expect((await get('/v1/clients', operator)).refusal).toBe('400 VALIDATION_FAILED');
    expect((await get('/v1/clients', operator, { 'x-workspace-id': 'globex' })).status).toBe(200);
  });

  it('lists the routes that each scope opens', async () => {
    const { body } = await send<OpenAPIObject>('GET', service.url, '/openapi.json');
    const routes = Object.entries(body.paths).flatMap(([path, item]) =>
      (['get', 'post', 'put', 'patch', 'delete'] as const).flatMap((method) => {
        const scopes = (item[method]?.security ?? []).flatMap((schemes) => Object.values(schemes).flat());
        return scopes.map((scope) => ({ scope, route: `\`${method.toUpperCase()} ${path}\`` }));
      }),
    );
    const rows = MANAGEMENT_SCOPES.flatMap((scope) => {
      const own = routes.filter((each) => each.scope === scope).map(({ route }) => route);
      return own.length === 0 ? [] : [`- \`${scope}\`: ${own.join(', ')}`];
    });
    const text = readFileSync(join(ROOT, GUIDE), 'utf8');
    const place = /(?<=<!-- scopes -->\n\n)[^]*(?=\n\n<!-- \/scopes -->)/;
    expect(place.exec(text)?.[0].split('\n')).toEqual(rows);
    const without = MANAGEMENT_SCOPES.filter((scope) => !routes.some((each) => each.scope === scope));
    expect(without).toEqual(['analytics:read', 'workspaces:any']);
  });
});
