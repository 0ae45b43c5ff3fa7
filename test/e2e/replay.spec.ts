import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { verifyChain } from '#events';
import type { ManagementScope } from '#tokens';
import { type Answer, eventually, send } from '../support/api/http.js';
import { apiKeyLogin, oauthLogin } from '../support/api/login.js';
import {
  type ClientAnswer,
  type Headers,
  type PlacedEvent,
  Portal,
  type Query,
  readAfter,
  recordedEventOf,
  secretOf,
} from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;
let auditor: Portal;

beforeAll(async () => {
  server = await Standalone.startReady();
  portal = Portal.of(server);
  auditor = Portal.of(server, { scopes: ['audit:read'] });
});

afterAll(() => server.stop());

const asAuditor = () => ({ authorization: `Bearer ${server.adminToken}` });
const forceHead = async () => (await send('POST', server.url, '/v1/log/heads', { headers: asAuditor() })).text;
const positionOf = (answer: Answer<unknown>): string => answer.header('x-consistency-token').split('@')[1] ?? '';
/** Resolves in the next millisecond, so that no later event has the time of an earlier one. */
const nextMillisecond = async () => {
  const began = Date.now();
  await eventually(
    () => Promise.resolve(Date.now()),
    (now) => now > began,
  );
};
const OK = { yes: true, reason: 'OK' };

describe('an auditor sees a client as it was', () => {
  const moments: Record<string, { at: string; position: string; revision: number }> = {};
  let clientId: string;

  const keep = (name: string, answer: Answer<ClientAnswer>) => {
    moments[name] = {
      ...{ at: new Date().toISOString(), position: positionOf(answer), revision: answer.body.client.revision },
    };
  };
  const bases = (name: string) => {
    const { at = '', position = '', revision = 0 } = moments[name] ?? {};
    return [{ at }, { position }, { revision }];
  };

  beforeAll(async () => {
    await portal.register('sub_replayed');
    const created = await portal.create({ authenticationType: 'API_KEY', name: 'Replayed' });
    clientId = created.body.client.clientId;
    keep('created', created);
    await nextMillisecond();
    keep('assigned', await portal.assign(clientId, 'sub_replayed'));
    await apiKeyLogin(server.url, secretOf(created.body.credential), 'sub-replayed');
    await nextMillisecond();
    keep('rotated', await portal.rotate(clientId, { overlapSeconds: 3600 }));
    await nextMillisecond();
    const ended = await portal.end('sub_replayed', 'The contract is over');
    moments.ended = { at: new Date().toISOString(), position: positionOf(ended), revision: -1 };
    await eventually(
      async () => (await portal.get(clientId, await portal.readNow())).body.subscriptions.length,
      (assigned) => assigned === 0,
    );
    await nextMillisecond();
    keep('revoked', await portal.revoke(clientId, 'The importer was retired'));
  });

  test('by time, by position and by revision, each with its basis', async () => {
    await forceHead();
    const evidence = await auditor.send('GET', `/v1/clients/${clientId}/evidence`);
    const { files } = JSON.parse(evidence.text) as { readonly files: Readonly<Record<string, string>> };
    const proven = Number(/^index (\d+)$/m.exec(files['events/000.tlog-proof'] ?? '')?.[1]);
    expect(proven).toBeGreaterThan(0);
    for (const [by, query] of ['time', 'position', 'revision'].map(
      (name, at) => [name, bases('created')[at]] as const,
    )) {
      const { status, body } = await auditor.state(clientId, query);
      expect(status).toBe(200);
      expect(body.basis).toMatchObject({ by, revision: 0, position: moments.created?.position });
      expect(body.basis.leafIndex).toBe(proven);
      expect(body.client).toMatchObject({ clientId, name: 'Replayed', status: 'ACTIVE', revision: 0 });
      expect(body.credentials).toMatchObject([{ generation: 1, wouldLogIn: OK, staticTokens: [] }]);
      expect([body.subscriptions, body.wouldLogIn]).toEqual([[], OK]);
    }
  });

  test('with its static tokens, its overlap, and the subscriptions as they were', async () => {
    for (const query of bases('rotated')) {
      const { body } = await auditor.state(clientId, query);
      expect(body.credentials).toMatchObject([
        { generation: 1, wouldLogIn: OK, staticTokens: [{ subscriptionId: 'sub_replayed' }] },
        { generation: 2, wouldLogIn: OK, staticTokens: [] },
      ]);
      expect(body.subscriptions).toMatchObject([{ subscriptionId: 'sub_replayed', status: 'LIVE', wouldLogIn: OK }]);
    }
    const judgedAt = new Date().toISOString();
    const { body } = await auditor.state(clientId, { position: moments.ended?.position ?? '', at: judgedAt });
    expect(body.basis).toMatchObject({ by: 'position', at: judgedAt, position: moments.ended?.position });
    expect(body.subscriptions).toMatchObject([
      { status: 'ENDED', endedAt: expect.any(String) as string, wouldLogIn: { yes: false, reason: 'ENDED' } },
    ]);
    expect(body.wouldLogIn).toEqual(OK);
  });

  test('and after its revocation, which is also what it is now', async () => {
    const revoked = { yes: false, reason: 'REVOKED' };
    for (const query of [...bases('revoked'), {}]) {
      const { body } = await auditor.state(clientId, query);
      expect(body.client).toMatchObject({ status: 'REVOKED', revocationReason: 'The importer was retired' });
      expect([body.credentials, body.subscriptions, body.wouldLogIn]).toEqual([[], [], revoked]);
    }
  });

  test('but not before its creation, not in the future, and not from another workspace', async () => {
    const before = positionOf(await portal.register('sub_before'));
    const young = await portal.create();
    const youngId = young.body.client.clientId;
    expect((await auditor.state(youngId, { position: before })).refusal).toBe('404 NOT_YET');
    expect((await auditor.state(youngId, { at: '2020-01-01T00:00:00Z' })).refusal).toBe('404 NOT_YET');

    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    for (const query of [
      { at: tomorrow },
      { revision: 1 },
      { position: '9'.repeat(20) },
      { revision: 0, at: tomorrow },
    ]) {
      const { refusal, problem } = await auditor.state(youngId, query);
      expect([refusal, problem.errors?.length]).toEqual(['400 IN_THE_FUTURE', 1]);
    }
    for (const query of [
      { at: 'yesterday' },
      { at: '9999-12-31T23:59:59-01:00' },
      { at: '0000-01-01T00:00:00+01:00' },
      { revision: -1 },
      { position: '12' },
      { revision: 0, position: before },
    ]) {
      expect((await auditor.state(youngId, query)).refusal).toBe('400 VALIDATION_FAILED');
    }
    const stranger = Portal.of(server, { workspaceId: 'initech', scopes: ['audit:read'] });
    for (const query of [{}, { revision: 0 }, { position: before }, { at: '2020-01-01T00:00:00Z' }]) {
      expect((await stranger.state(youngId, query)).refusal).toBe('404 CLIENT_NOT_FOUND');
    }
    expect((await auditor.state('cc_0000000000000000000000')).refusal).toBe('404 CLIENT_NOT_FOUND');
  });

  test('without any secret or verifier', async () => {
    for (const name of Object.keys(moments)) {
      for (const query of bases(name).slice(0, 2)) {
        expect((await auditor.state(clientId, query)).text).not.toMatch(/argon2|ccs_|verifier/);
      }
    }
  });
});

describe('the history of a workspace', () => {
  const hub = (scopes?: ManagementScope[], workspaceId = 'hub') =>
    Portal.of(server, { workspaceId, subject: `hub of ${workspaceId}`, ...(scopes && { scopes }) });
  let reader: Portal;
  let [first, second] = ['', ''];
  let now: Headers;

  const typesOf = (items: readonly PlacedEvent[]) => items.map(({ event }) => event.type.replace('ConsumerClient', ''));
  const found = async (query: Query) =>
    typesOf(await reader.walk((cursor) => reader.events({ ...query, ...cursor }, now)));

  beforeAll(async () => {
    reader = hub(['audit:read']);
    await hub().register('sub_hub');
    first = (await hub().create()).body.client.clientId;
    second = (await hub().create()).body.client.clientId;
    await hub().assign(first, 'sub_hub');
    await hub().rename(second, 'Renamed');
    const other = Portal.of(server, { workspaceId: 'hub', subject: 'somebody else' });
    now = readAfter(await other.revoke(first));
    await hub(undefined, 'elsewhere').create();
  });

  test('is in the order of the log, by pages whose cursor is a position, and only its own', async () => {
    const all = ['SubscriptionRegistered', 'Created', 'Created', 'AssignedToSubscription', 'Renamed', 'Revoked'];
    expect(await found({})).toEqual(all);
    expect(await found({ limit: 2 })).toEqual(all);
    const { items, nextCursor } = (await reader.events({ limit: 3 }, now)).body;
    expect(nextCursor).toBe(items[2]?.position);
    expect(await found({ cursor: items[2]?.position ?? '' })).toEqual(all.slice(3));
    const positions = items.map(({ position }) => position);
    expect(positions).toEqual(positions.toSorted());
    for (const { stream, event } of items) {
      expect(await verifyChain(stream, [recordedEventOf(stream, event)])).toMatchObject({ whole: true });
    }
    expect(JSON.stringify(items)).not.toMatch(/argon2|ccs_/);
  });

  test('is filtered by client, subscription, stream, type, actor and time, also together', async () => {
    const ofFirst = ['Created', 'AssignedToSubscription', 'Revoked'];
    expect(await found({ client: first })).toEqual(ofFirst);
    expect(await found({ stream: `consumerClient-${first}`, limit: 1 })).toEqual(ofFirst);
    expect(await found({ subscription: 'sub_hub' })).toEqual([
      'SubscriptionRegistered',
      'AssignedToSubscription',
      'Revoked',
    ]);
    expect(await found({ type: 'ConsumerClientCreated' })).toEqual(['Created', 'Created']);
    expect(await found({ actor: 'somebody else' })).toEqual(['Revoked']);
    expect(await found({ client: first, type: 'ConsumerClientRevoked', subscription: 'sub_hub' })).toEqual(['Revoked']);
    expect(await found({ client: second, actor: 'somebody else' })).toEqual([]);

    const all = (await reader.events({}, now)).body.items;
    const renamedAt = all[4]?.event.occurredAt ?? '';
    const from = (moment: string) => all.filter(({ event }) => moment <= event.occurredAt);
    for (const limit of [1, 200]) expect(await found({ from: renamedAt, limit })).toEqual(typesOf(from(renamedAt)));
    const { nextCursor } = (await reader.events({ from: renamedAt, limit: 1 }, now)).body;
    expect(nextCursor).toBe(`${all[4]?.position}-${all.at(-1)?.position}`);
    expect(await found({ from: renamedAt, cursor: all[4]?.position ?? '' })).toEqual(typesOf(all.slice(5)));
    const before = all.filter(({ event }) => event.occurredAt < renamedAt);
    expect(await found({ from: '2026-01-01T00:00:00Z', to: renamedAt })).toEqual(typesOf(before));
    expect(await found({ from: '2020-01-01T00:00:00Z', to: '2020-12-01T00:00:00Z' })).toEqual([]);
  });

  test('shows nothing of another workspace, and refuses what makes no sense', async () => {
    const stranger = hub(['audit:read'], 'elsewhere');
    for (const query of [{ client: first }, { stream: `consumerClient-${first}` }, { subscription: 'sub_hub' }]) {
      expect((await stranger.events(query, now)).body).toEqual({ items: [] });
    }
    expect((await reader.events({ from: '2020-01-01T00:00:00Z' })).refusal).toBe('400 RANGE_TOO_LONG');
    for (const query of [
      { to: '2026-01-01T00:00:00Z' },
      { cursor: 'abc' },
      { client: 'x' },
      { limit: 201 },
      { a: 1 },
    ]) {
      expect((await reader.events(query)).refusal).toBe('400 VALIDATION_FAILED');
    }
  });

  test('of keys and operators’ acts is for those who may act for any workspace', async () => {
    const operator = new Portal(server.url, server.adminToken);
    const headers = { 'x-workspace-id': 'hub' };
    const { body } = await operator.events({ stream: 'signingKeys', limit: 2 }, headers);
    expect(typesOf(body.items)).toEqual(['MasterKeyCheckRecorded', 'SigningKeyPublished']);
    expect(body.items[1]?.event.data.wrappedKey).toEqual({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    const rest = await operator.events({ stream: 'signingKeys', cursor: body.nextCursor ?? '' }, headers);
    expect(typesOf(rest.body.items)).toEqual(['SigningKeyActivated', 'LogKeyPublished', 'LogKeyPublished']);
    expect(rest.body.nextCursor).toBeUndefined();
    expect((await operator.events({ stream: 'log' }, headers)).body.items).toHaveLength(1);
    expect((await operator.events({ stream: 'signingKeys', type: 'x' }, headers)).refusal).toBe(
      '400 VALIDATION_FAILED',
    );
    for (const stream of ['signingKeys', 'operatorActs', 'quarantines', 'log']) {
      expect((await reader.events({ stream })).refusal).toBe('403 INSUFFICIENT_SCOPE');
    }
  });
});

test('what changed between two places is told by client and subscription, by pages', async () => {
  const lab = Portal.of(server, { workspaceId: 'lab' });
  await lab.register('sub_old');
  const [old, quiet] = [(await lab.create({ name: 'Old' })).body.client.clientId, (await lab.create()).body.client];
  await lab.assign(old, 'sub_old');
  const from = positionOf(await lab.create({ name: 'Gone' }));
  const gone = (await lab.list({ name: 'gone' }, await lab.readNow())).body.items[0]?.clientId ?? '';

  await lab.rename(old, 'New');
  await lab.rotate(old, { overlapSeconds: 3600 });
  await lab.unassign(old, 'sub_old');
  await lab.rename(gone, 'Going');
  await lab.revoke(gone, 'Not needed');
  const added = (await lab.create({ name: 'Added' })).body.client.clientId;
  await lab.rename(quiet.clientId, 'For a while');
  const to = positionOf(await lab.rename(quiet.clientId, quiet.name));
  await lab.revoke(added);

  const reader = Portal.of(server, { workspaceId: 'lab', scopes: ['audit:read'] });
  const items = await reader.walk((cursor) => reader.diff({ from, to, limit: 2, ...cursor }));
  const generation = expect.stringMatching(/^from .*Z/) as string;
  expect(items.filter(({ stream }) => !stream.includes('mark-'))).toMatchObject([
    {
      ...{ stream: `consumerClient-${old}`, revisionBefore: 1, revisionAfter: 4 },
      changes: [
        { change: 'RENAMED', before: 'Old', after: 'New' },
        { change: 'CREDENTIAL_CHANGED', of: '1', before: generation, after: generation },
        { change: 'CREDENTIAL_ADDED', of: '2', after: generation },
        { change: 'UNASSIGNED', of: 'sub_old', before: 'sub-old' },
      ],
    },
    {
      ...{ stream: `consumerClient-${gone}`, revisionBefore: 0, revisionAfter: 2 },
      changes: [
        { change: 'RENAMED', before: 'Gone', after: 'Going' },
        { change: 'CREDENTIAL_ENDED', of: '1', before: generation },
        { change: 'REVOKED', after: 'Not needed' },
      ],
    },
    {
      ...{ stream: `consumerClient-${added}`, revisionAfter: 0 },
      changes: [
        { change: 'CREATED', after: 'Added' },
        { change: 'CREDENTIAL_ADDED', of: '1' },
      ],
    },
    { ...{ stream: `consumerClient-${quiet.clientId}`, revisionBefore: 0, revisionAfter: 2 }, changes: [] },
  ]);
  const whole = (await reader.diff({ from, to })).body;
  expect(whole).toEqual({ from, to, items });
  expect((await reader.diff({ from: to, to: from })).refusal).toBe('400 INVALID_RANGE');
  expect((await reader.diff({ from, to: '9'.repeat(20) })).refusal).toBe('400 IN_THE_FUTURE');
  const elsewhere = Portal.of(server, { workspaceId: 'nowhere', scopes: ['audit:read'] });
  expect((await elsewhere.diff({ from, to })).body.items).toEqual([]);
});

describe('who had access at a moment', () => {
  let bank: Portal;
  let reviewer: Portal;
  let [kept, gone, late] = ['', '', ''];
  let then = '';

  beforeAll(async () => {
    bank = Portal.of(server, { workspaceId: 'bank' });
    reviewer = Portal.of(server, { workspaceId: 'bank', scopes: ['audit:read'] });
    await bank.register('sub_pay', { serviceName: '=HYPERLINK("http://evil")' });
    kept = (await bank.newClient('OAUTH2', '@SUM(1;2), "kept"')).clientId;
    gone = (await bank.newClient('API_KEY', '-1+1')).clientId;
    late = (await bank.newClient('OAUTH2', 'Late')).clientId;
    for (const clientId of [gone, kept]) await bank.assign(clientId, 'sub_pay');
    await bank.unassign(kept, 'sub_pay');
    await nextMillisecond();
    await bank.assign(kept, 'sub_pay');
    await bank.rotate(kept, { overlapSeconds: 3600 });
    then = new Date().toISOString();
    await nextMillisecond();
    await bank.assign(late, 'sub_pay');
    await bank.revoke(gone, 'Left the bank');
    await bank.newClient('OAUTH2', 'Not yet there');
    await nextMillisecond();
  });

  test('the clients that could have called an endpoint, by pages', async () => {
    const endpointUri = 'sub-pay';
    const { body } = await reviewer.couldCall({ endpointUri, at: then });
    expect(body).toMatchObject({ at: then, subscriptionId: 'sub_pay', status: 'LIVE' });
    expect(body.items).toMatchObject([
      { clientId: gone, generations: [1], authenticationType: 'API_KEY' },
      { clientId: kept, generations: [1, 2] },
    ]);
    const pages = await reviewer.walk((cursor) => reviewer.couldCall({ endpointUri, at: then, limit: 1, ...cursor }));
    expect(pages).toEqual(body.items);
    expect((await reviewer.couldCall({ endpointUri })).body.items.map(({ clientId }) => clientId)).toEqual([
      kept,
      late,
    ]);

    expect((await reviewer.couldCall({ endpointUri: 'nobodys' })).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    const early = await reviewer.couldCall({ endpointUri, at: '2020-01-01T00:00:00Z' });
    expect(early.refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    expect((await reviewer.couldCall({ endpointUri, at: tomorrow })).refusal).toBe('400 IN_THE_FUTURE');
    for (const body of [{ endpointUri: 'NO' }, { endpointUri, at: '9999-12-31T23:59:59-01:00' }, { position: '1' }]) {
      expect((await reviewer.couldCall(body)).refusal).toBe('400 VALIDATION_FAILED');
    }
    expect((await auditor.couldCall({ endpointUri })).refusal).toBe('404 SUBSCRIPTION_NOT_FOUND');
  });

  test('each client × generation × subscription, as CSV, as NDJSON, and with a manifest that both match', async () => {
    const csv = await reviewer.accessReview({ at: then }, { accept: 'text/csv' });
    expect(csv.header('content-type')).toBe('text/csv; charset=utf-8');
    const lines = csv.text.split('\r\n');
    expect(lines[0]).toMatch(/^asOf,clientId,name,/);
    expect(lines).toHaveLength(1 + 2 + 1 + 1 + 1);
    expect(csv.text).toContain(`"'@SUM(1;2), ""kept"""`);
    expect(csv.text).toContain(`"'=HYPERLINK(""http://evil"")"`);
    expect(csv.text).toContain(",'-1+1,");

    const ndjson = await reviewer.accessReview({ at: then }, { accept: 'application/x-ndjson, text/csv' });
    const rows = ndjson.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows).toMatchObject([
      { clientId: kept, generation: 1, subscriptionId: 'sub_pay', wouldLogIn: true, reason: 'OK', asOf: then },
      { clientId: kept, generation: 2, subscriptionId: 'sub_pay', wouldLogIn: true, reason: 'OK' },
      { clientId: gone, generation: 1, subscriptionId: 'sub_pay', wouldLogIn: true, name: '-1+1' },
      { clientId: late, generation: 1, subscriptionId: null, wouldLogIn: true, reason: 'OK' },
    ]);
    expect(csv.text + ndjson.text).not.toMatch(/argon2|ccs_/);

    const head = await forceHead();
    const manifest = (await reviewer.accessReview({ at: then, format: 'manifest' })).body;
    expect(manifest).toEqual({
      ...{ query: { workspaceId: 'bank', at: then }, treeHead: head, rows: 4, unreadableRows: 0 },
      files: [csv, ndjson].map(({ text }, index) => ({
        name: `access-review.${index === 0 ? 'csv' : 'ndjson'}`,
        sha256: createHash('sha256').update(text).digest('hex'),
        bytes: Buffer.byteLength(text),
      })),
    });

    const today = (await reviewer.accessReview({ format: 'ndjson' })).text;
    expect(JSON.parse(today.split('\n')[2] ?? '')).toMatchObject({
      ...{ clientId: gone, clientStatus: 'REVOKED', revocationReason: 'Left the bank', generation: null },
      ...{ wouldLogIn: false, reason: 'REVOKED' },
    });
    expect(today.trimEnd().split('\n')).toHaveLength(5);
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    expect((await reviewer.accessReview({ at: tomorrow })).refusal).toBe('400 IN_THE_FUTURE');
    expect((await reviewer.accessReview({ format: 'xlsx' })).refusal).toBe('400 VALIDATION_FAILED');
  });

  test('and a reader that goes away frees its place, and is no fault of the service', async () => {
    const { hostname, port } = new URL(server.url);
    const leave = async (path: string) => {
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      const lines = [`GET ${path} HTTP/1.1`, 'host: hub', `authorization: Bearer ${reviewer.token}`, '', ''];
      await new Promise((sent) => socket.write(lines.join('\r\n'), sent));
      const closed = once(socket, 'close');
      socket.destroy();
      await closed;
    };
    for (let n = 0; n < 10; n++) {
      for (const format of ['csv', 'manifest']) await leave(`/v1/access-review?at=${then}&format=${format}`);
    }
    const answer = await eventually(
      () => reviewer.accessReview({ at: then, format: 'manifest' }),
      ({ status }) => status === 200,
    );
    expect(answer.body).toMatchObject({ rows: 4 });
    expect(server.output()).not.toContain('request failed');
  });

  test('also when the last event of the log is one that no read model waits for', async () => {
    const token = [
      'token',
      '--workspace',
      'bank',
      '--scope',
      'audit:read',
      '--subject',
      'alice',
      '--reason',
      'A review',
    ];
    expect(await Cli.run(token, { DATA_DIR: server.dataDir })).toMatchObject({ code: 0 });
    expect((await reviewer.accessReview({ format: 'manifest' })).status).toBe(200);
    expect((await reviewer.diff({ from: '0'.repeat(20), limit: 1 })).status).toBe(200);
  });
});

test('whether a token was good at a moment, of each kind, and why not', async () => {
  const lab = Portal.of(server, { workspaceId: 'tokens' });
  const reader = Portal.of(server, { workspaceId: 'tokens', scopes: ['audit:read'] });
  await lab.register('sub_tok');
  const early = new Date().toISOString();
  await nextMillisecond();
  const [oauth, keyed] = [await lab.newClient('OAUTH2'), await lab.newClient('API_KEY')];
  for (const { clientId } of [oauth, keyed]) await lab.assign(clientId, 'sub_tok');
  const pair = (await oauthLogin(server.url, oauth, 'sub-tok')).body;
  const fixed = (await apiKeyLogin(server.url, keyed.secret)).body.access_token;
  const tokens = [
    { token: pair.access_token, kind: 'ACCESS_TOKEN', clientId: oauth.clientId, subscriptionId: 'sub_tok' },
    { token: pair.refresh_token ?? '', kind: 'REFRESH_TOKEN', clientId: oauth.clientId, subscriptionId: 'sub_tok' },
    { token: fixed, kind: 'STATIC_TOKEN', clientId: keyed.clientId },
  ];
  const then = new Date().toISOString();
  await nextMillisecond();
  await lab.end('sub_tok', 'over');
  const ended = new Date().toISOString();
  await nextMillisecond();
  for (const { clientId } of [oauth, keyed]) await lab.revoke(clientId);

  for (const { token, ...known } of tokens) {
    expect((await reader.tokenStatus(token, then)).body).toMatchObject({
      ...known,
      at: then,
      good: true,
      reason: 'OK',
    });
    const revoked = await reader.tokenStatus(token);
    expect(revoked.body).toMatchObject({ ...known, good: false, reason: 'CLIENT_NOT_ACTIVE' });
    expect((await reader.tokenStatus(token, early)).body).toMatchObject({ good: false, reason: 'CLIENT_NOT_ACTIVE' });
    const isScoped = 'subscriptionId' in known;
    const atEnd = (await reader.tokenStatus(token, ended)).body;
    expect(atEnd).toMatchObject(isScoped ? { good: false, reason: 'SUBSCRIPTION_NOT_LIVE' } : { good: true });

    const foreign = (await auditor.tokenStatus(token, then)).body;
    expect(foreign).toEqual({ at: then, good: false, reason: 'NOT_A_TOKEN' });
    expect(revoked.text).not.toContain(token);
  }
  expect((await reader.tokenStatus(`${fixed.slice(0, -8)}AAAAAAAA`)).body).toMatchObject({ reason: 'NOT_A_TOKEN' });
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
  expect((await reader.tokenStatus(fixed, tomorrow)).refusal).toBe('400 IN_THE_FUTURE');
  for (const { token } of tokens) expect(server.output()).not.toContain(token);
});

describe('the command line', () => {
  const cli = async (...args: string[]) => {
    const { code, stdout, stderr } = await Cli.run([...args, '--json'], { DATA_DIR: server.dataDir });
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('broken')]);
    return JSON.parse(stdout) as unknown;
  };

  test('shows the same as the API: state, history, what changed, and the access review', async () => {
    const shop = Portal.of(server, { workspaceId: 'shop' });
    const start = positionOf(await shop.register('sub_shop'));
    const { clientId } = await shop.newClient('OAUTH2', 'Shop importer');
    await shop.assign(clientId, 'sub_shop');
    const then = new Date().toISOString();
    await nextMillisecond();
    const rotated = await shop.rotate(clientId, { overlapSeconds: 3600 });
    const readNow = await shop.readNow();

    for (const query of [{ at: then }, { revision: '0' }, { position: positionOf(rotated) }]) {
      const [[name, value]] = Object.entries(query) as [[string, string]];
      const { body } = await shop.state(clientId, query);
      const { leafIndex: _, ...basis } = body.basis;
      expect(await cli('state', clientId, `--${name}`, value)).toEqual({ ...body, basis });
    }
    expect((await shop.state(clientId, { position: start })).refusal).toBe('404 NOT_YET');
    const early = await Cli.run(['state', clientId, '--position', start], { DATA_DIR: server.dataDir });
    expect([early.code, early.stdout]).toEqual([4, '']);
    const { items } = (await shop.history(clientId, {}, readNow)).body;
    const { events } = (await cli('history', clientId)) as { readonly events: readonly { event: unknown }[] };
    expect(events.map(({ event }) => event)).toEqual(items);
    const diff = (await shop.diff({ from: start })).body;
    expect(await cli('diff', '--workspace', 'shop', '--from', start)).toMatchObject({ items: diff.items });

    const directory = join(server.dataDir, 'review');
    const manifest = await cli('access-review', directory, '--workspace', 'shop', '--at', then);
    expect(manifest).toEqual((await shop.accessReview({ at: then, format: 'manifest' })).body);
    for (const format of ['csv', 'ndjson']) {
      const file = readFileSync(join(directory, `access-review.${format}`), 'utf8');
      expect(file).toBe((await shop.accessReview({ at: then, format })).text);
    }
    const again = await Cli.run(['access-review', directory, '--workspace', 'shop'], { DATA_DIR: server.dataDir });
    expect(again).toMatchObject({ code: 64, stderr: expect.stringContaining('access-review.csv exists') as string });
  });

  describe('without the service, and without its read models', () => {
    let [copy, clientId, from, to] = ['', '', '', ''];
    let shop: Portal;
    const tokenFile = () => join(copy, 'auditor.token');
    /** Runs a command over HTTP, and on a copy of the event log alone. Expects the same result, and returns it. */
    const bothWays = async (command: readonly string[], ofStores: readonly string[] = []) => {
      const results: unknown[] = [];
      for (const source of [
        ['--url', server.url, '--token-file', tokenFile()],
        ['--data-dir', copy, ...ofStores],
      ]) {
        const { code, stdout, stderr } = await Cli.run([...command, ...source, '--json'], {});
        expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
        results.push(JSON.parse(stdout));
      }
      expect(results[0]).toMatchObject(results[1] as object);
      return results[1];
    };
    const exported = (directory: string, ...options: string[]) =>
      Cli.run(['export', 'events', directory, ...options, '--json'], {});

    beforeAll(async () => {
      shop = Portal.of(server, {
        workspaceId: 'export',
        scopes: ['audit:read', 'clients:write', 'subscriptions:write'],
      });
      from = positionOf(await shop.register('sub_export', { serviceName: '=1+1' }));
      clientId = (await shop.newClient('OAUTH2', 'Exported')).clientId;
      await shop.assign(clientId, 'sub_export');
      to = positionOf(await shop.rotate(clientId, { overlapSeconds: 3600 }));
      copy = mkdtempSync(join(tmpdir(), 'consumer-clients-copy-'));
      writeFileSync(tokenFile(), `${shop.token}\n`, { mode: 0o600 });
      const db = new Database(join(server.dataDir, 'event-log.db'));
      db.exec(`VACUUM INTO '${join(copy, 'event-log.db')}'`);
      db.close();
    });

    afterAll(() => {
      rmSync(copy, { recursive: true });
    });

    test('state, history, what changed and the access review are the same over HTTP and from the event log', async () => {
      const at = new Date().toISOString();
      expect(await bothWays(['state', clientId, '--at', at])).toMatchObject({
        client: { name: 'Exported', revision: 2 },
      });
      const { events } = (await bothWays(['history', clientId])) as { readonly events: readonly unknown[] };
      expect(events).toHaveLength(3);
      const workspace = ['--workspace', 'export'];
      const diff = await bothWays(['diff', '--from', from, '--to', to], workspace);
      expect(diff).toMatchObject({ items: [{ changes: [{ change: 'CREATED' }, {}, {}, {}] }] });
      for (const [name, ...source] of [
        ['http', '--url', server.url, '--token-file', tokenFile()],
        ['files', '--data-dir', copy, ...workspace],
      ]) {
        const review = await Cli.run(['access-review', join(copy, name ?? ''), '--at', at, ...source], {});
        expect(review).toMatchObject({ code: 0, stdout: expect.stringMatching(/^2 rows/) as string });
      }
      for (const file of ['access-review.csv', 'access-review.ndjson']) {
        expect(readFileSync(join(copy, 'http', file))).toEqual(readFileSync(join(copy, 'files', file)));
      }
    });

    test('the evidence over HTTP is accepted by the verifier', async () => {
      const file = join(copy, 'evidence.json');
      const source = ['--url', server.url, '--token-file', tokenFile()];
      expect(await Cli.run(['evidence', clientId, '--file', file, ...source], {})).toMatchObject({ code: 0 });
      const policy = (await shop.send('GET', '/v1/log/policy')).text;
      const [, key = ''] = /^log (\S+)/m.exec(policy) ?? [];
      expect(await Cli.run(['verify', file, '--key', key], {})).toMatchObject({ code: 0 });
    });

    test('all events are exported with a manifest, and the same bytes come from both', async () => {
      to = positionOf(await shop.rename(clientId, 'Exported again'));
      const db = new Database(join(server.dataDir, 'event-log.db'));
      rmSync(join(copy, 'event-log.db'));
      db.exec(`VACUUM INTO '${join(copy, 'event-log.db')}'`);
      db.close();
      const http = ['--url', server.url, '--token-file', tokenFile()];
      const files = ['--data-dir', copy, '--workspace', 'export'];
      for (const format of ['ndjson', 'csv']) {
        for (const [name, source] of Object.entries({ http, files })) {
          const directory = join(copy, `${format}-${name}`);
          const { code, stdout } = await exported(directory, ...source, '--to', to, '--format', format);
          expect(code).toBe(0);
          expect(JSON.parse(stdout)).toMatchObject({ events: 5, unreadable: 0, through: to });
          expect(spawnSync('sha256sum', ['-c', 'MANIFEST'], { cwd: directory }).status).toBe(0);
          expect((await exported(directory, ...source)).code).toBe(64);
        }
        const [one, other] = ['http', 'files'].map((name) =>
          readFileSync(join(copy, `${format}-${name}`, `events.${format}`), 'utf8'),
        );
        expect(one).toBe(other);
        expect(one).not.toMatch(/argon2|ccs_/);
        expect(one?.trimEnd().split('\n')).toHaveLength(format === 'csv' ? 6 : 5);
      }
      const lines = readFileSync(join(copy, 'ndjson-http', 'events.ndjson'), 'utf8')
        .trimEnd()
        .split('\n');
      const { items } = (await shop.events({ limit: 200 })).body;
      expect(lines.map((line) => JSON.parse(line) as PlacedEvent)).toEqual(items);
    });

    test('an interrupted export goes on where it ended, and only for the same question', async () => {
      const [whole, cut] = [join(copy, 'ndjson-http'), join(copy, 'cut')];
      const lines = readFileSync(join(whole, 'events.ndjson'), 'utf8').split('\n');
      const { position } = JSON.parse(lines[1] ?? '') as PlacedEvent;
      const about = JSON.parse(readFileSync(join(whole, 'export.json'), 'utf8')) as { query: object; through: string };
      const kept = `${lines.slice(0, 2).join('\n')}\n`;
      mkdirSync(cut);
      const state = { query: about.query, to: about.through, through: position, events: 2, unreadable: 0 };
      writeFileSync(join(cut, 'export.json.part'), JSON.stringify({ ...state, bytes: Buffer.byteLength(kept) }));
      writeFileSync(join(cut, 'events.ndjson'), `${kept}{"half a li`);
      const source = ['--url', server.url, '--token-file', tokenFile()];
      expect((await exported(cut, ...source, '--client', clientId)).code).toBe(64);
      expect((await exported(cut, ...source, '--to', about.through)).code).toBe(0);
      for (const file of ['events.ndjson', 'MANIFEST']) {
        expect(readFileSync(join(cut, file), 'utf8')).toBe(readFileSync(join(whole, file), 'utf8'));
      }
      expect(existsSync(join(cut, 'export.json.part'))).toBe(false);
    });

    test('an event that can’t be read is in the export as such, and does not stop it', async () => {
      const db = new Database(join(copy, 'event-log.db'));
      db.exec('DROP TRIGGER IF EXISTS events_are_never_changed');
      db.prepare("UPDATE events SET data = '{' WHERE type = 'ConsumerClientRenamed' AND position = ?").run([
        Number(to),
      ]);
      db.close();
      const directory = join(copy, 'damaged');
      const { code, stdout } = await exported(directory, '--data-dir', copy, '--workspace', 'export');
      expect([code, JSON.parse(stdout)]).toMatchObject([5, { events: 5, unreadable: 1 }]);
      const lines = readFileSync(join(directory, 'events.ndjson'), 'utf8').trimEnd().split('\n');
      expect(JSON.parse(lines.at(-1) ?? '')).toEqual({
        ...{ position: to, stream: `consumerClient-${clientId}` },
        event: null,
      });
    });

    test('the token comes from a file or the environment, and goes only where it is safe', async () => {
      const history = (options: readonly string[], env = {}) => Cli.run(['history', clientId, ...options], env);
      expect((await history(['--url', server.url], { AUDIT_TOKEN: shop.token })).code).toBe(0);
      expect((await history(['--url', server.url])).code).toBe(78);
      expect((await history(['--url', server.url], { AUDIT_TOKEN: 'not-a-token' })).code).toBe(78);
      expect((await history(['--url', 'http://clients.example.com'], { AUDIT_TOKEN: shop.token })).code).toBe(64);
      expect((await history(['--url', 'http://127.0.0.1:1'], { AUDIT_TOKEN: shop.token })).code).toBe(69);
      expect((await history(['--url', server.url, '--data-dir', copy])).code).toBe(64);
      const unknown = ['history', 'cc_0000000000000000000000', '--url', server.url];
      expect((await Cli.run(unknown, { AUDIT_TOKEN: shop.token })).code).toBe(4);
    });
  });
});
