// @ts-check
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * @typedef {import('./marketplace-service.mjs').MarketplaceService} Service
 * @typedef {import('./marketplace-service.mjs').Credential} Credential
 * @typedef {import('./marketplace-service.mjs').Answer} Answer
 *
 * A subscription of the day.
 * @typedef {{ workspaceId: string, subscriptionId: string, endpointUri: string, serviceName: string,
 *   end?: { reason: string } }} Subscription
 *
 * A client of the day. `credentials`, `view` and `staticToken` come from the service's responses so far.
 * @typedef {{ workspaceId: string, name: string, authenticationType: 'API_KEY' | 'OAUTH2',
 *   subscriptions: Subscription[], rotate?: { overlapSeconds: number }, revoke?: { reason: string },
 *   credentials: Credential[], view?: any, staticToken?: string }} Client
 *
 * @typedef {{ workspaceIds: string[], subscriptions: Subscription[], clients: Client[] }} Day
 */

/** How long it may take until the clients of an ended subscription are unassigned, in seconds. */
const UNASSIGN_SECONDS = 30;

/**
 * The steps of the day. Each step returns functions: one for each subscription, client or workspace that the step
 * concerns. Such a function rejects with an `AssertionError` if a response is wrong.
 * @type {Record<string, (service: Service, day: Day) => (() => Promise<void>)[]>}
 */
export const steps = {
  register: (service, { subscriptions }) => subscriptions.map((each) => () => register(service, each)),
  create: (service, { clients }) => clients.map((each) => () => create(service, each)),
  assign: (service, { clients }) => clients.map((each) => () => assign(service, each)),
  logIn: (service, day) => day.clients.map((each) => () => logIn(service, each, day)),
  rotate: (service, { clients }) => clients.filter((it) => it.rotate).map((each) => () => rotate(service, each)),
  revoke: (service, { clients }) => clients.filter((it) => it.revoke).map((each) => () => revoke(service, each)),
  endSubscriptions: (service, day) =>
    day.subscriptions.filter((it) => it.end).map((each) => () => endSubscription(service, each, day)),
  compareTables: (service, day) => day.workspaceIds.map((each) => () => compareTables(service, each, day)),
};

/**
 * @param {Service} service
 * @param {Subscription} subscription
 */
async function register(service, { workspaceId, subscriptionId, endpointUri, serviceName }) {
  const path = `subscriptions/${subscriptionId}`;
  const body = { endpointUri, serviceName };
  const first = await service.manage(workspaceId, 'PUT', path, { body, status: 201 });
  const { registeredAt } = first.body;
  const expected = { subscriptionId, workspaceId, ...body, registeredAt, revision: 0, status: 'LIVE' };
  assert.deepEqual(first.body, expected);
  const again = await service.manage(workspaceId, 'PUT', path, { body });
  assert.deepEqual(again.body, first.body);
}

/**
 * Creates a client, and then sends the same request again, which must change nothing. An API key comes from a draft (a
 * credential minted before the client exists). A client secret is in the response to the first request.
 * @param {Service} service @param {Client} client
 */
async function create(service, client) {
  const { workspaceId, name, authenticationType } = client;
  const draft = authenticationType === 'API_KEY' ? await mintDraft(service, client) : undefined;
  const request = {
    body: { name, authenticationType, ...(draft && { draft: draft.draft }) },
    headers: { 'idempotency-key': `create ${workspaceId} ${name}`.replaceAll(' ', '-') },
    status: 201,
  };
  const made = await service.manage(workspaceId, 'POST', 'clients', request);
  const { clientId, createdAt } = made.body.client;
  const expected = {
    ...{ clientId, workspaceId, name, authenticationType, createdAt, revision: 0, status: 'ACTIVE' },
    credentials: [{ generation: 1, createdAt, hint: hintOf(draft ?? made.body.credential) }],
    ...{ labels: {}, subscriptions: [] },
  };
  assert.deepEqual(made.body.client, expected);
  client.credentials = [credentialOf(made, draft)];
  const again = await service.manage(workspaceId, 'POST', 'clients', request);
  assert.deepEqual(again.body, { client: expected, ...(!draft && { credentialShown: true }) });
  await isRead(service, client, again);
}

/**
 * Returns the first four characters of the secret's random part, by which people tell two credentials apart.
 * @param {{ apiKey?: string, clientSecret?: string }} shown
 */
function hintOf({ apiKey, clientSecret }) {
  const secret =
    clientSecret ??
    Buffer.from(apiKey ?? '', 'base64')
      .toString()
      .split(':')[1];
  return /^ccs_(....)/.exec(secret ?? '')?.[1];
}

/**
 * @param {Service} service
 * @param {Client} client
 */
async function assign(service, client) {
  for (const [index, { subscriptionId, endpointUri, serviceName }] of client.subscriptions.entries()) {
    const path = `clients/${client.view.clientId}/subscriptions/${subscriptionId}`;
    const answer = await service.manage(client.workspaceId, 'PUT', path);
    const assigned = answer.body.client.subscriptions[index];
    assert.deepEqual(assigned, { subscriptionId, endpointUri, serviceName, assignedAt: assigned.assignedAt });
    assert.equal(answer.body.client.revision, client.view.revision + 1);
    await isRead(service, client, answer);
  }
}

/**
 * Logs in twice for all subscriptions of the client, and once for a single subscription. A login for a subscription
 * that the client doesn't have must be refused.
 * @param {Service} service @param {Client} client @param {Day} day
 */
async function logIn(service, client, { subscriptions }) {
  const [credential] = client.credentials;
  const token = await service.logIn(credential, undefined);
  const again = await service.logIn(credential, undefined);
  if (client.authenticationType === 'API_KEY') {
    assert.equal(again, token, 'the static token changed between two logins');
    client.staticToken = token;
  }
  await service.logIn(credential, client.subscriptions[0]);
  const foreign = subscriptions.find((it) => !client.subscriptions.includes(it));
  await service.isRefused(credential, 'unauthorized_client', foreign);
}

/**
 * @param {Service} service
 * @param {Client} client
 */
async function rotate(service, client) {
  const { workspaceId, rotate: { overlapSeconds } = { overlapSeconds: 0 } } = client;
  const [old] = client.credentials;
  const draft = client.authenticationType === 'API_KEY' ? await mintDraft(service, client, old.clientId) : undefined;
  const body = { overlapSeconds, ...(draft && { draft: draft.draft }) };
  const answer = await service.manage(workspaceId, 'POST', `clients/${old.clientId}/rotate`, { body });
  const credential = credentialOf(answer, draft);
  assert.equal(credential.generation, 2);
  const hasOverlap = overlapSeconds > 0;
  assert.equal(answer.body.client.credentials.length, hasOverlap ? 2 : 1);
  client.credentials.push(credential);
  await isRead(service, client, answer);
  const token = await service.logIn(credential);
  if (!hasOverlap) return service.isRefused(old, 'invalid_client');
  const oldToken = await service.logIn(old);
  if (client.staticToken) {
    assert.equal(oldToken, client.staticToken, 'the static token changed in the overlap');
    assert.notEqual(token, client.staticToken);
  }
}

/**
 * @param {Service} service
 * @param {Client} client
 */
async function revoke(service, client) {
  const { clientId, subscriptions } = client.view;
  const path = `clients/${clientId}/revoke`;
  const preview = await service.manage(client.workspaceId, 'POST', `${path}?dryRun=true`);
  assert.deepEqual(preview.body.wouldLeave, subscriptions);
  const answer = await service.manage(client.workspaceId, 'POST', path, { body: client.revoke });
  const { status, revocationReason, credentials, subscriptions: left } = answer.body.client;
  assert.deepEqual(
    { status, revocationReason, credentials, left },
    { status: 'REVOKED', revocationReason: client.revoke?.reason, credentials: [], left: [] },
  );
  await Promise.all(client.credentials.map((credential) => service.isRefused(credential, 'invalid_client')));
  await isRead(service, client, answer);
}

/**
 * Ends a subscription. From then on, the clients' logins for this subscription must be refused. Within
 * `UNASSIGN_SECONDS`, the service must unassign the clients from the subscription.
 * @param {Service} service @param {Subscription} subscription @param {Day} day
 */
async function endSubscription(service, subscription, { clients }) {
  const { workspaceId, subscriptionId, end } = subscription;
  const users = clients.filter((it) => it.view.status === 'ACTIVE' && it.subscriptions.includes(subscription));
  const path = `subscriptions/${subscriptionId}`;
  const reason = end?.reason ?? '';
  const ended = await service.manage(workspaceId, 'DELETE', `${path}?reason=${encodeURIComponent(reason)}`);
  assert.deepEqual([ended.body.status, ended.body.endReason], ['ENDED', reason]);
  for (const { credentials } of users) {
    await service.isRefused(newest(credentials), 'unauthorized_client', subscription);
    await service.logIn(newest(credentials));
  }
  const deadline = Date.now() + UNASSIGN_SECONDS * 1000;
  while ((await service.list(workspaceId, `${path}/clients?limit=200`)).length > 0) {
    assert.ok(Date.now() < deadline, `clients of ${subscriptionId} are still assigned after ${UNASSIGN_SECONDS} s`);
    await delay(50);
  }
  for (const { view } of users) {
    view.subscriptions = view.subscriptions.filter(
      (/** @type {Subscription} */ it) => it.subscriptionId !== subscriptionId,
    );
  }
}

/**
 * Checks the workspace's list of active clients and its list of revoked clients. Each client must be in exactly one of
 * the two lists, with the values of the last response about the client.
 * @param {Service} service @param {string} workspaceId @param {Day} day
 */
async function compareTables(service, workspaceId, { clients }) {
  const headers = { 'x-consistency-token': service.seen(workspaceId) };
  const own = clients.filter((it) => it.workspaceId === workspaceId);
  for (const status of ['ACTIVE', 'REVOKED']) {
    const listed = await service.list(
      workspaceId,
      `clients?status=${status.toLowerCase()}&limit=25&sort=name`,
      headers,
    );
    const expected = own.filter(({ view }) => view.status === status).map(({ view }) => view);
    assert.deepEqual(byId(listed), byId(expected));
  }
}

/**
 * Returns the clients by id, without times of use. The revisions are set to 0, since first logins and ends of
 * subscriptions change them.
 * @param {any[]} views
 */
const byId = (views) => new Map(views.map((view) => [view.clientId, { ...withoutUsage(view), revision: 0 }]));

/**
 * Returns a client without the times of its last use. Only queries have them, and only some time after a login.
 * @param {any} view
 */
function withoutUsage(view) {
  const copy = { ...view, credentials: view.credentials.map((/** @type {any} */ each) => ({ ...each })) };
  for (const part of [copy, ...copy.credentials]) delete part.lastUsedAt;
  return copy;
}

/** @param {Credential[]} credentials */
const newest = (credentials) => credentials[credentials.length - 1];

/**
 * Checks that a query with the command's consistency token returns the client as it was in the command's response.
 * @param {Service} service @param {Client} client @param {Answer} command
 */
async function isRead(service, client, { headers, body }) {
  const { workspaceId } = client;
  const token = headers.get('x-consistency-token') ?? '';
  const read = await service.manage(workspaceId, 'GET', `clients/${body.client.clientId}`, {
    headers: { 'x-consistency-token': token },
  });
  assert.deepEqual(withoutUsage(read.body), withoutUsage(body.client));
  assert.equal(headers.get('etag'), `"${body.client.revision}"`);
  client.view = body.client;
}

/**
 * @param {Service} service
 * @param {Client} client
 * @param {string} [clientId] the client whose next rotation will use the draft; absent: the draft is for a new client
 */
async function mintDraft(service, { workspaceId, authenticationType }, clientId) {
  const body = { authenticationType, ...(clientId && { clientId }) };
  const draft = (await service.manage(workspaceId, 'POST', 'credential-drafts', { body, status: 201 })).body;
  if (clientId) assert.equal(draft.clientId, clientId);
  assert.match(Buffer.from(draft.apiKey, 'base64').toString(), new RegExp(`^${draft.clientId}:ccs_`));
  return draft;
}

/**
 * Returns the credential that a creation or rotation has made. The credential is in the draft. If there was no draft,
 * the credential is in the response.
 * @param {Answer} answer @param {{ clientId: string, apiKey: string }} [draft] @returns {Credential}
 */
function credentialOf({ body: { client, credential } }, draft) {
  const { generation } = client.credentials.at(-1);
  if (!draft) {
    assert.deepEqual([credential.clientId, credential.generation], [client.clientId, generation]);
    return credential;
  }
  assert.deepEqual([client.clientId, credential], [draft.clientId, undefined]);
  return { clientId: draft.clientId, generation, apiKey: draft.apiKey };
}
