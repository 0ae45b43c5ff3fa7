/**
 * The README's tour with a client whose types are generated from the OpenAPI document:
 *
 *   npx openapi-typescript http://127.0.0.1:3000/openapi.json -o api.d.ts
 *
 * test/e2e/openapi.spec.ts generates them, compiles this file by the strictest rules, and runs it.
 * Environment: BASE (URL of the service), TOKEN (a management token).
 */
import { strict as assert } from 'node:assert';
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

const { BASE: baseUrl = 'http://127.0.0.1:3000', TOKEN = '' } = process.env;
const portal = createClient<paths>({
  baseUrl,
  headers: { Authorization: `Bearer ${TOKEN}`, 'X-Workspace-Id': 'acme' },
});
const consumer = createClient<paths>({ baseUrl });

/** Returns the body of a success. Throws if the service has refused the request. */
function good<Body>({ data, error, response }: { data?: Body; error?: unknown; response: Response }): Body {
  if (data === undefined) throw new Error(`${response.status} ${JSON.stringify(error)}`);
  return data;
}

const ENDPOINT = { params: { path: { endpointUri: 'weather' } } };

// Register a subscription.
const subscription = good(
  await portal.PUT('/v1/subscriptions/{subscriptionId}', {
    params: { path: { subscriptionId: 'acme-weather' } },
    body: { endpointUri: 'weather', serviceName: 'Weather forecasts' },
  }),
);
assert.equal(subscription.status, 'LIVE');

// Mint a draft, and create the client from it, twice.
const draft = good(await portal.POST('/v1/credential-drafts', { body: { authenticationType: 'API_KEY' } }));
assert(draft.authenticationType === 'API_KEY');
const create = () =>
  portal.POST('/v1/clients', {
    params: { header: { 'Idempotency-Key': `create-${draft.clientId}` } },
    body: { name: 'Forecast importer', authenticationType: 'API_KEY', draft: draft.draft },
  });
const { client: importer } = good(await create());
assert.deepEqual(good(await create()).client, importer);

// Assign it, and log in.
const assign = (clientId: string) =>
  portal.PUT('/v1/clients/{clientId}/subscriptions/{subscriptionId}', {
    params: { path: { clientId, subscriptionId: 'acme-weather' } },
  });
good(await assign(importer.clientId));
const logInWithKey = () => consumer.POST('/login', { body: { 'api-key': draft.apiKey } });
assert.equal(good(await logInWithKey()).access_token, good(await logInWithKey()).access_token);

// Create an OAuth 2 client. The answer shows its secret, once.
const made = good(await portal.POST('/v1/clients', { body: { name: 'Trip planner', authenticationType: 'OAUTH2' } }));
assert('credential' in made && 'clientSecret' in made.credential);
const planner = made.client.clientId;
const firstSecret = made.credential.clientSecret;
good(await assign(planner));
const logInWithSecret = (client_secret: string) =>
  consumer.POST('/{endpointUri}/login', {
    ...ENDPOINT,
    body: { grant_type: 'client_credentials', client_id: planner, client_secret },
  });
const tokens = good(await logInWithSecret(firstSecret));
assert('refresh_token' in tokens);
assert.equal(tokens.expires_in, 300);

// Rotate its secret with an overlap, and end the overlap early.
const rotated = good(
  await portal.POST('/v1/clients/{clientId}/rotate', {
    params: { path: { clientId: planner } },
    body: { overlapSeconds: 3600 },
  }),
);
assert('credential' in rotated && 'clientSecret' in rotated.credential);
good(await logInWithSecret(firstSecret));
good(await logInWithSecret(rotated.credential.clientSecret));
const retired = await portal.DELETE('/v1/clients/{clientId}/credentials/{generation}', {
  params: { path: { clientId: planner, generation: 1 } },
});
good(retired);
const refused = await logInWithSecret(firstSecret);
assert(refused.error && 'error' in refused.error);
assert.equal(refused.error.error, 'invalid_client');

// Read its history. A query that carries the token sees the effect of the command.
const seen = (response: Response) => ({ 'X-Consistency-Token': response.headers.get('x-consistency-token') ?? '' });
const history = good(
  await portal.GET('/v1/clients/{clientId}/history', {
    params: { path: { clientId: planner }, header: seen(retired.response) },
  }),
);
for (const event of history.items) console.log(`${event.revision} ${event.type} by ${event.actor.subject}`);

// Revoke the first client, after a dry run.
const revoke = { params: { path: { clientId: importer.clientId } }, body: { reason: 'The importer was retired' } };
const preview = good(
  await portal.POST('/v1/clients/{clientId}/revoke', {
    ...revoke,
    params: { ...revoke.params, query: { dryRun: 'true' } },
  }),
);
assert('wouldLeave' in preview);
assert.deepEqual(preview.wouldInvalidate, [1]);
const revoked = await portal.POST('/v1/clients/{clientId}/revoke', revoke);
good(revoked);
assert.equal((await logInWithKey()).response.status, 401);

// The two tables.
for (const status of ['active', 'revoked'] as const) {
  const { items } = good(
    await portal.GET('/v1/clients', { params: { query: { status }, header: seen(revoked.response) } }),
  );
  for (const { name } of items) console.log(`${status}: ${name}`);
}

// A problem has a code to branch on.
const { error: problem } = await portal.GET('/v1/clients/{clientId}', { params: { path: { clientId: 'cc_unknown' } } });
assert.equal(problem?.code, 'CLIENT_NOT_FOUND');
