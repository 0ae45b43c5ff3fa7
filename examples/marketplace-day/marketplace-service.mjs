// @ts-check
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { URLSearchParams } from 'node:url';
import { createRemoteJWKSet, jwtVerify } from 'jose';

/**
 * @typedef {{ status: number, headers: Headers, body: any }} Answer
 * @typedef {{ body?: unknown, headers?: Record<string, string>, status?: number }} ManagementRequest `status`: the expected status, 200 if absent
 * @typedef {{ clientId: string, generation: number, apiKey?: string, clientSecret?: string }} Credential
 * @typedef {{ subscriptionId: string, endpointUri: string }} Endpoint
 */

const STATIC_TOKEN_SECONDS = 31_536_000;
const ACCESS_TOKEN_SECONDS = 300;

/**
 * Calls the service over HTTP, as the service's users do. Every method throws an `AssertionError` if a response is
 * wrong.
 */
export class MarketplaceService {
  /** Number of requests that were sent so far. */
  requests = 0;
  /** @type {Map<string, string>} */
  #seen = new Map();

  /** @param {{ url: string, issuer: string, token: string }} server `token` has every scope, and `workspaces:any` */
  constructor({ url, issuer, token }) {
    this.url = url;
    this.issuer = issuer;
    this.token = token;
    this.keys = createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`));
  }

  /**
   * Sends a request to the management API, for a workspace.
   * @param {string} workspaceId @param {string} method @param {string} path after `/v1/` @param {ManagementRequest} [request]
   */
  async manage(workspaceId, method, path, { body, headers, status = 200 } = {}) {
    const answer = await this.#send(method, `/v1/${path}`, {
      headers: { authorization: `Bearer ${this.token}`, 'x-workspace-id': workspaceId, ...headers },
      body,
    });
    assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    const token = answer.headers.get('x-consistency-token') ?? '';
    // Consistency tokens can be compared as texts: the token with the later log position is the greater text.
    if (token > this.seen(workspaceId)) this.#seen.set(workspaceId, token);
    return answer;
  }

  /**
   * Returns the consistency token of the workspace's newest command. With this token, a query sees the command's
   * effect.
   * @param {string} workspaceId
   */
  seen(workspaceId) {
    return this.#seen.get(workspaceId) ?? '';
  }

  /**
   * Reads all pages of a list, and returns their items.
   * @param {string} workspaceId @param {string} path with a query @param {Record<string, string>} headers
   */
  async list(workspaceId, path, headers = {}) {
    const items = [];
    let cursor = '';
    do {
      const { body } = await this.manage(workspaceId, 'GET', `${path}${cursor}`, { headers });
      items.push(...body.items);
      cursor = body.nextCursor === undefined ? '' : `&cursor=${encodeURIComponent(body.nextCursor)}`;
    } while (cursor !== '');
    return items;
  }

  /**
   * Logs in, and checks that the login succeeds. Checks the access token's signature (with the service's JWKS) and
   * claims, and returns the access token.
   * @param {Credential} credential @param {Endpoint} [endpoint] absent: the plain `/login`
   */
  async logIn(credential, endpoint) {
    const { status, headers, body } = await this.#login(credential, endpoint);
    assert.equal(status, 200, `login of ${credential.clientId}: ${JSON.stringify(body)}`);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(body.token_type, 'Bearer');
    const { payload } = await jwtVerify(body.access_token, this.keys, {
      issuer: this.issuer,
      audience: `${this.issuer}/${endpoint?.endpointUri ?? 'gateway'}`,
      subject: credential.clientId,
      typ: 'at+jwt',
    });
    assert.equal(payload['client_id'], credential.clientId);
    assert.equal(payload['generation'], credential.generation);
    assert.equal(payload['subscription_id'], endpoint?.subscriptionId);
    const lifetime = credential.apiKey ? STATIC_TOKEN_SECONDS : ACCESS_TOKEN_SECONDS;
    assert.equal(Number(payload.exp) - Number(payload.iat), lifetime);
    assert.ok(body.expires_in > lifetime - 600 && body.expires_in <= lifetime, `expires_in ${body.expires_in}`);
    return /** @type {string} */ (body.access_token);
  }

  /**
   * Checks that a login is refused with this OAuth error.
   * @param {Credential} credential @param {'invalid_client' | 'unauthorized_client'} error @param {Endpoint} [endpoint]
   */
  async isRefused(credential, error, endpoint) {
    const { status, body } = await this.#login(credential, endpoint);
    assert.equal(`${status} ${body.error}`, error === 'invalid_client' ? `401 ${error}` : `400 ${error}`);
  }

  /** @param {Credential} credential @param {Endpoint} [endpoint] */
  #login({ clientId, apiKey, clientSecret }, endpoint) {
    const path = endpoint ? `/${endpoint.endpointUri}/login` : '/login';
    if (apiKey) return this.#send('POST', path, { body: { 'api-key': apiKey } });
    const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64');
    const body = new URLSearchParams({ grant_type: 'client_credentials' });
    return this.#send('POST', path, { headers: { authorization: `Basic ${basic}` }, body });
  }

  /**
   * @param {string} method @param {string} path @param {{ headers?: Record<string, string>, body?: unknown }} request
   * @returns {Promise<Answer>}
   */
  async #send(method, path, { headers, body }) {
    this.requests += 1;
    const isForm = body === undefined || body instanceof URLSearchParams;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...(!isForm && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }
}
