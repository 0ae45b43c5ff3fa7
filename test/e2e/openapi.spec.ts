import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExampleObject, OpenAPIObject, OperationObject, ResponseObject, SchemaObject } from '@nestjs/swagger';
import { currentVersion, type LogEventType } from '#events';
import { MANAGEMENT_SCOPES } from '#tokens';
import { send } from '../support/api/http.js';
import type { HistoryEntry, Page } from '../support/api/portal.js';
import { Standalone } from '../support/processes/standalone.js';

const ROOT = join(__dirname, '../..');
const run = promisify(execFile);
const bin = (name: string) => join(ROOT, 'node_modules/.bin', name);

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

describe('The OpenAPI document', () => {
  let service: Standalone;
  let directory: string;
  let file: string;
  let document: OpenAPIObject;

  beforeAll(async () => {
    service = await Standalone.startReady();
    const answer = await send<OpenAPIObject>('GET', service.url, '/openapi.json');
    document = answer.body;
    directory = mkdtempSync(join(tmpdir(), 'openapi-'));
    file = join(directory, 'openapi.json');
    writeFileSync(file, answer.text);
  });

  afterAll(async () => {
    await service.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const operations = (): [string, OperationObject][] =>
    Object.entries(document.paths).flatMap(([path, item]) =>
      METHODS.flatMap((method): [string, OperationObject][] => {
        const operation = item[method];
        return operation ? [[`${method.toUpperCase()} ${path}`, operation]] : [];
      }),
    );
  const responses = (): [string, ResponseObject][] =>
    operations().flatMap(([name, operation]) =>
      Object.entries(operation.responses).map(([status, response]): [string, ResponseObject] => [
        `${name} ${status}`,
        response as ResponseObject,
      ]),
    );

  it('passes the linter without an error or a warning', async () => {
    const lint = run(bin('redocly'), ['lint', '--config', join(ROOT, 'redocly.yaml'), '--format', 'stylish', file], {
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
    });
    const { stderr, stdout } = await lint.catch((error: unknown) => error as { stderr: string; stdout: string });
    expect(`${stdout}${stderr}`).toMatch(/is valid/);
    expect(`${stdout}${stderr}`).not.toMatch(/warning[s]?\.|error[s]?\./);
  });

  it('describes the whole product, under a licence and at a server', () => {
    expect(document.info.license?.name).toBe('Apache-2.0');
    expect(document.servers?.[0]?.url).toBe('/');
    const names = operations().map(([name]) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'POST /login',
        'POST /{endpointUri}/login',
        'POST /oauth/introspect',
        'POST /oauth/revoke',
        'GET /gateway/check',
        'GET /gateway/check/{target}',
        'GET /.well-known/oauth-authorization-server',
        'GET /.well-known/jwks.json',
        'GET /health/live',
        'GET /health/ready',
        'GET /metrics',
        'POST /v1/clients',
      ]),
    );
  });

  it('gives each operation a plain id, a summary, a tag, and the scopes that it needs', () => {
    for (const [name, operation] of operations()) {
      expect([name, operation.operationId]).toEqual([name, expect.stringMatching(/^[a-z][A-Za-z]+$/)]);
      expect([name, operation.summary]).toEqual([name, expect.stringMatching(/^[A-Z]/)]);
      expect([name, operation.tags?.length]).toEqual([name, 1]);
      if (!name.includes(' /v1/')) continue;
      const scopes = (operation.security ?? []).flatMap(({ managementToken = [] }) => managementToken);
      expect([name, scopes.length]).not.toEqual([name, 0]);
      for (const scope of scopes) expect(MANAGEMENT_SCOPES).toContain(scope);
    }
  });

  it('describes each status with its headers, and gives an example of each body', () => {
    for (const [name, { headers = {}, content = {} }] of responses()) {
      expect([name, Object.keys(headers)]).toEqual([name, expect.arrayContaining(['X-Request-Id'])]);
      for (const { examples = {} } of Object.values(content)) {
        expect([name, Object.keys(examples).length]).not.toEqual([name, 0]);
      }
    }
    const headersOf = (status: string) =>
      responses()
        .filter(([name]) => name.endsWith(` ${status}`) && name.includes(' /v1/'))
        .map(([, { headers }]) => Object.keys(headers ?? {}));
    for (const headers of headersOf('401')) expect(headers).toContain('WWW-Authenticate');
    for (const headers of headersOf('405')) expect(headers).toContain('Allow');
    for (const headers of headersOf('429'))
      expect(headers).toEqual(expect.arrayContaining(['Retry-After', 'RateLimit-Reset']));
    for (const headers of headersOf('503')) expect(headers).toContain('Retry-After');
    const described = new Map(responses().map(([name, { headers = {} }]) => [name, headers]));
    expect(described.get('POST /v1/clients/{clientId}/rotate 200')?.['Cache-Control']).toMatchObject({
      required: false,
    });
    expect(described.get('POST /v1/clients 409')?.['Retry-After']).toMatchObject({ required: false });
    expect(described.get('POST /v1/clients/{clientId}/rotate 409')).not.toHaveProperty('Retry-After');
  });

  it('shows events in the version in which they are written, and says which keys of labels are reserved', () => {
    for (const owner of ['clients/{clientId}', 'subscriptions/{subscriptionId}']) {
      const [, answer] = responses().find(([name]) => name === `GET /v1/${owner}/history 200`) ?? [];
      const { page } = (answer?.content?.['application/json']?.examples ?? {}) as Record<string, ExampleObject>;
      const { items } = page?.value as Page<HistoryEntry>;
      for (const { type, schemaVersion } of items) expect(schemaVersion).toBe(currentVersion(type as LogEventType));
    }
    const { CreateClient, DescribeClient } = document.components?.schemas ?? {};
    for (const schema of [CreateClient, DescribeClient]) {
      expect((schema as SchemaObject).properties?.labels).toMatchObject({
        description: expect.stringContaining('`constructor`') as string,
      });
    }
  });

  it('has closed objects, and integers where it has numbers', () => {
    const wrong: string[] = [];
    const visit = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const { type, properties, additionalProperties } = value as Record<string, unknown>;
      if (type === 'object' && properties !== undefined && additionalProperties === undefined) wrong.push(path);
      if (type === 'number') wrong.push(path);
      for (const [name, member] of Object.entries(value)) visit(member, `${path}/${name}`);
    };
    visit(document.components?.schemas, 'schemas');
    visit(document.paths, 'paths');
    expect(wrong).toEqual([]);
  });

  it('has examples of requests that the service accepts as they are', async () => {
    const headers = { authorization: `Bearer ${service.adminToken}`, 'x-workspace-id': 'acme' };
    const ask = async (method: string, path: string, body?: unknown) => {
      const answer = await send<Record<string, Record<string, string>>>(method, service.url, path, { headers, body });
      return [answer.status, answer.text] as const;
    };
    /** The examples of all properties of a body. A time lies a year ahead, so that it is never past. */
    const bodyOf = (name: string) => {
      const { properties = {} } = document.components?.schemas?.[name] as SchemaObject;
      const given = Object.entries(properties as Record<string, SchemaObject>).flatMap(([key, { example, format }]) => {
        if (example === undefined) return [];
        return [[key, format === 'date-time' ? new Date(Date.now() + 365 * 86_400_000).toISOString() : example]];
      });
      return Object.fromEntries(given) as Record<string, unknown>;
    };
    const accepted = async (method: string, path: string, body?: unknown) => {
      const [status, text] = await ask(method, path, body);
      if (status !== 200 && status !== 201) throw new Error(`${method} ${path}: ${status} ${text}`);
      return JSON.parse(text) as { client: { clientId: string }; credential: { clientSecret: string } };
    };
    await accepted('PUT', '/v1/subscriptions/acme-weather', bodyOf('RegisterSubscription'));
    const newClient = bodyOf('CreateClient');
    for (const id of newClient.subscriptions as string[]) {
      const endpointUri = `acme-${id.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
      await accepted('PUT', `/v1/subscriptions/${id}`, { ...bodyOf('RegisterSubscription'), endpointUri });
    }
    const created = await accepted('POST', '/v1/clients', { ...newClient, authenticationType: 'OAUTH2' });
    const path = `/v1/clients/${created.client.clientId}`;
    await accepted('PUT', `${path}/subscriptions/acme-weather`);
    await accepted('PATCH', path, bodyOf('DescribeClient'));
    await accepted('POST', `${path}/rotate?dryRun=true`, bodyOf('RotateSecret'));
    const { credential } = await accepted('POST', `${path}/rotate`, bodyOf('RotateSecret'));
    const pair = Buffer.from(`${created.client.clientId}:${credential.clientSecret}`).toString('base64');

    /** The parameters of logins show credentials of nobody: they are refused as such, and alike in both forms. */
    const posted = async (to: string, parameters: Record<string, string>, type: string, basic?: string) => {
      const body =
        type === 'application/json' ? JSON.stringify(parameters) : new URLSearchParams(parameters).toString();
      const authorization = basic === undefined ? {} : { authorization: `Basic ${basic}` };
      const answer = await fetch(`${service.url}${to}`, {
        ...{ method: 'POST', body },
        headers: { 'content-type': type, ...authorization },
      });
      return [answer.status, (await answer.json().catch(() => ({}))) as { error?: string }] as const;
    };
    const expected: Readonly<Record<string, readonly [number, string | undefined]>> = {
      apiKey: [401, 'invalid_client'],
      clientCredentials: [401, 'invalid_client'],
      refresh: [401, 'invalid_client'],
    };
    for (const to of ['/login', '/{endpointUri}/login']) {
      const { content = {} } = (document.paths[to]?.post?.requestBody ?? {}) as ResponseObject;
      for (const [type, { examples = {} }] of Object.entries(content)) {
        for (const [name, example] of Object.entries(examples)) {
          const { value } = example as { value: Record<string, string> };
          const [status, { error }] = await posted(to.replace('{endpointUri}', 'acme-weather'), value, type);
          expect([to, type, name, status, error]).toEqual([to, type, name, ...(expected[name] ?? [])]);
        }
      }
    }
    for (const [to, answered] of [
      ['/oauth/introspect', { active: false }],
      ['/oauth/revoke', {}],
    ] as const) {
      const { content = {} } = (document.paths[to]?.post?.requestBody ?? {}) as ResponseObject;
      for (const [type, { examples = {} }] of Object.entries(content)) {
        for (const example of Object.values(examples)) {
          const { value } = example as { value: Record<string, string> };
          expect([to, type, await posted(to, value, type, pair)]).toEqual([to, type, [200, answered]]);
        }
      }
    }
    await accepted('POST', `${path}/revoke`, bodyOf('RevokeClient'));
  });

  it('makes a client whose types compile by strict rules, and which plays the tour of the README', async () => {
    const client = join(directory, 'client');
    cpSync(join(ROOT, 'examples/typed-client'), client, { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(client, 'node_modules'));
    await run(bin('openapi-typescript'), [file, '-o', join(client, 'api.d.ts')]);
    writeFileSync(join(client, 'package.json'), JSON.stringify({ type: 'module' }));
    const compilerOptions = {
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noUnusedLocals: true },
      ...{
        module: 'nodenext',
        target: 'es2023',
        lib: ['es2023', 'dom'],
        types: ['node'],
        outDir: 'out',
        skipLibCheck: true,
      },
    };
    writeFileSync(join(client, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['tour.ts', 'api.d.ts'] }));
    const compiled = await run(bin('tsc'), ['-p', client]).catch((error: unknown) => error as { stdout: string });
    expect(compiled.stdout).toBe('');
    // The tour and the examples of the document register the same subscription, with different values.
    const another = await Standalone.startReady();
    const env = { PATH: process.env.PATH, BASE: another.url, TOKEN: another.adminToken };
    const { stdout } = await run(process.execPath, [join(client, 'out/tour.js')], { env }).finally(() =>
      another.stop(),
    );
    expect(stdout.trim().split('\n')).toEqual([
      '0 ConsumerClientCreated by administrator',
      '1 ConsumerClientAssignedToSubscription by administrator',
      '2 ConsumerClientSecretRotated by administrator',
      '3 ConsumerClientCredentialRetired by administrator',
      'active: Trip planner',
      'revoked: Forecast importer',
    ]);
  });
});
