import { VerificationBusy } from '#credentials';
import { DomainError } from '#domain';
import { ClockApart, EventTooLarge, LogIsSealed, LogUnavailable, RevisionConflict } from '#event-log';
import { createLogger } from '#platform';
import { ManagementIssuerUnavailable, SigningKeyUnusable } from '#tokens';
import type { FastRequest } from './fast-path.js';
import { oauthHandler } from './oauth-route.js';

/** Returns the answer of an OAuth endpoint that fails with this error. */
const answerTo = async (error: Error) => {
  const handler = oauthHandler(() => Promise.reject(error), [], { logger: createLogger('silent'), refusals: {} });
  const request = {
    id: 'r1',
    method: 'POST',
    target: '/oauth/it',
    headers: {},
    rawHeaders: [],
    body: () => Promise.resolve(Buffer.alloc(0)),
  } as unknown;
  const answer = await handler(request as FastRequest);
  const retryAfter = answer.headers[answer.headers.indexOf('retry-after') + 1];
  const { error: code, error_description: description } = JSON.parse(answer.body ?? '') as Record<string, string>;
  return [answer.status, code, description, answer.headers.includes('retry-after') ? retryAfter : null];
};

describe('a failure at an OAuth endpoint', () => {
  it.each([
    [new LogUnavailable('ECONNREFUSED 10.0.0.1'), 'The event log can not be reached; try again'],
    [new LogIsSealed(), 'The event log is being moved, or was; try again'],
    [new ClockApart(7_000), 'The clock of this node is wrong; try again'],
    [new RevisionConflict('consumerClient-1', 4n, 5n), 'The client is being changed; try again'],
    [new VerificationBusy('Too many verifications wait'), 'Too many logins of this kind; try again'],
    [new SigningKeyUnusable('Signing key k1 is unknown'), 'The signing keys are changing; try again'],
    [new ManagementIssuerUnavailable('ECONNREFUSED'), 'The keys at MANAGEMENT_JWKS_URL are not to be had'],
  ])('that will pass is 503 and states the reason: %s', async (error, description) => {
    expect(await answerTo(error)).toEqual([503, 'temporarily_unavailable', description, '1']);
  });

  it('because a client asks too often is 429', async () => {
    const error = new DomainError('too_many', 'too_many_token_revocations', 'Too many; wait a minute');
    expect(await answerTo(error)).toEqual([429, 'temporarily_unavailable', 'Too many; wait a minute', '60']);
  });

  it.each([
    new EventTooLarge('consumerClient-1', 2_000_000),
    new DomainError('conflict', 'client_revoked', 'This client is revoked'),
    new TypeError('A mistake of ours'),
  ])('that no caller can repair is 500 without details: %s', async (error) => {
    expect(await answerTo(error)).toEqual([500, 'server_error', 'Something went wrong on our side', null]);
  });
});
