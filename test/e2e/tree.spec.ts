import { createHash } from 'node:crypto';
import { hashesIn, parseNote, parseTreeHeadText, rootOf } from '#transparency';
import { send } from '../support/api/http.js';
import { metricOf } from '../support/api/metrics.js';
import { Portal } from '../support/api/portal.js';
import { Cli } from '../support/processes/cli.js';
import { Standalone } from '../support/processes/standalone.js';

let server: Standalone;
let portal: Portal;

beforeAll(async () => {
  server = await Standalone.startReady({ env: { TREE_PUBLIC: 'true' } });
  portal = Portal.of(server);
});
afterAll(() => server.stop());

const asAuditor = () => ({ authorization: `Bearer ${server.adminToken}` });
const get = (path: string, headers: Record<string, string> = {}) => send('GET', server.url, path, { headers });
const force = () => send('POST', server.url, '/v1/log/heads', { headers: asAuditor() });

const headOf = (note: string) => {
  const head = parseTreeHeadText(parseNote(note)?.text ?? '');
  if (!head) throw new Error(`No head: ${note}`);
  return head;
};

const bytesOf = async (path: string) => {
  const answer = await fetch(`${server.url}/v1/log/tile/${path}`);
  expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'public, max-age=31536000, immutable']);
  return Buffer.from(await answer.arrayBuffer());
};

test('everybody sees by the tiles that the head has each event, and that it extends the one before', async () => {
  expect((await get('/v1/log/checkpoint')).status).toBe(404);
  const first = headOf((await force()).text);
  const client = await portal.newClient();
  const forced = await force();
  expect([forced.status, forced.headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
  const published = await get('/v1/log/checkpoint');
  expect([published.text, published.headers['cache-control']]).toEqual([forced.text, 'public, max-age=5']);
  const head = headOf(published.text);
  expect(head.size).toBeGreaterThan(first.size);

  const hashes = hashesIn(await bytesOf(`0/000.p/${head.size}`));
  const readTile = () => Promise.resolve(hashes);
  expect(Buffer.from(await rootOf(head.size, readTile))).toEqual(Buffer.from(head.root));
  expect(Buffer.from(await rootOf(first.size, readTile))).toEqual(Buffer.from(first.root));

  const entries = await bytesOf(`entries/000.p/${head.size}`);
  const entryAt = (index: number) => entries.subarray(index * 34 + 2, index * 34 + 34);
  hashes.forEach((hash, index) => {
    expect(createHash('sha256').update('\0').update(entryAt(index)).digest()).toEqual(Buffer.from(hash));
  });
  const { items } = (await portal.history(client.clientId)).body;
  const inTree = hashes.map((_, index) => entryAt(index).toString('hex'));
  expect(inTree).toEqual(expect.arrayContaining(items.map(({ hash }) => hash)));

  const proof = await get(`/v1/log/consistency?from=${first.size}`, asAuditor());
  expect(proof.text.startsWith(`old ${first.size}\n`)).toBe(true);
  expect(proof.text.endsWith(`\n\n${published.text}`)).toBe(true);
  const older = await get(`/v1/log/consistency?from=1&to=${first.size}`, asAuditor());
  expect(headOf(older.text.slice(older.text.indexOf('\n\n') + 2))).toEqual(first);
  expect((await force()).text).toBe(published.text);
});

test('the keys of the policy are those of the head’s lines, and none of them is in the JWKS', async () => {
  const { signatures = [] } = parseNote((await force()).text) ?? {};
  const { text } = await get('/v1/log/policy');
  for (const { name, keyId } of signatures) {
    expect(text).toContain(` ${name}+${Buffer.from(keyId).toString('hex')}+`);
  }
  expect(text).toMatch(/^log \S+\nwitness time \S+\nquorum time\n$/);
  const jwks = (await get('/.well-known/jwks.json')).text;
  const keys = [...text.matchAll(/\+([A-Za-z0-9+/=]{44})$/gm)].map(([, key = '']) => Buffer.from(key, 'base64'));
  expect(keys).toHaveLength(2);
  for (const key of keys) expect(jwks).not.toContain(key.subarray(1).toString('base64url'));
});

test('one subject can’t use up the heads that all may force in a minute', async () => {
  const { stdout } = await Cli.run(['token', '--workspace', 'acme', '--scope', 'audit:read', '--subject', 'eager'], {
    DATA_DIR: server.dataDir,
  });
  const headers = { authorization: `Bearer ${stdout.trim()}` };
  const statuses = [];
  for (let n = 0; n < 31; n++) statuses.push((await send('POST', server.url, '/v1/log/heads', { headers })).status);
  expect(statuses).toEqual([...Array<number>(30).fill(200), 429]);
  expect((await force()).status).toBe(200);
});

test('without a token, an address has a limit of its own', async () => {
  const limited = await Standalone.startReady({ env: { TREE_PUBLIC: 'true' } });
  try {
    const ask = async () => (await send('GET', limited.url, '/v1/log/checkpoint')).status;
    const statuses = new Set<number>();
    for (let n = 0; n < 600; n++) statuses.add(await ask());
    expect([...statuses]).toEqual([404]);
    expect(await ask()).toBe(429);
    expect((await Portal.of(limited).list()).status).toBe(200);
    expect(await metricOf(limited.url, 'rate_limited_total{limit="tree_address"}')).toBe(1);
  } finally {
    await limited.stop();
  }
});

test('without a token, nobody forces heads or asks for proofs, and what is no tile is not found', async () => {
  expect((await send('POST', server.url, '/v1/log/heads')).status).toBe(401);
  expect((await get('/v1/log/consistency?from=1')).status).toBe(401);
  for (const path of ['0/000', '0/001.p/1', '7/000', 'entries/0', '0/000.p/0', '0/../000']) {
    expect([path, (await get(`/v1/log/tile/${path}`)).status]).toEqual([path, 404]);
  }
  expect((await get('/v1/log/consistency?from=100000', asAuditor())).status).toBe(400);
  expect((await get('/v1/log/consistency?from=0&to=100000', asAuditor())).status).toBe(404);
});
