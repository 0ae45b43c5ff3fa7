import { Controller, Get, Module, Param, UseFilters } from '@nestjs/common';
import { DomainError } from '#domain';
import { ClockApart, EventTooLarge, LogUnavailable, RevisionConflict } from '#event-log';
import { configurationFrom, createHttpApplication, createLogger, type HttpApplication } from '#platform';
import { ReadStoreUnavailable } from '#read-models';
import { FailureFilter } from './failure-filter.js';

const FAILURES: Record<string, () => Error> = {
  renamed: () => new DomainError('conflict', 'client_revoked', 'This client is revoked'),
  named: () => new DomainError('invalid', 'invalid_name', 'name must have 1 to 100 characters', 'name'),
  busy: () => new DomainError('too_many', 'too_many_token_revocations', 'wait'),
  contended: () => new RevisionConflict('consumerClient-1', 4n, 5n),
  logless: () => new LogUnavailable('ECONNREFUSED 10.0.0.1'),
  skewed: () => new ClockApart(7_000),
  readless: () => new ReadStoreUnavailable('ECONNREFUSED 10.0.0.1'),
  large: () => new EventTooLarge('consumerClient-1', 2_000_000),
};

@Controller('fails')
@UseFilters(new FailureFilter())
class Fails {
  @Get(':how')
  fail(@Param('how') how: string) {
    throw FAILURES[how]?.() ?? new Error(how);
  }
}

@Module({ controllers: [Fails] })
class FailingModule {}

describe('a failure', () => {
  let app: HttpApplication;
  let url: string;

  beforeAll(async () => {
    app = await createHttpApplication(FailingModule, configurationFrom({ PORT: '0' }), createLogger('silent'));
    url = await app.listen();
  });
  afterAll(() => app.close());

  const failing = async (how: string) => {
    const response = await fetch(`${url}/fails/${how}`);
    return { status: response.status, headers: response.headers, body: await response.json() };
  };

  it.each([
    ['renamed', 409, 'CLIENT_REVOKED', null],
    ['named', 400, 'INVALID_NAME', null],
    ['busy', 429, 'TOO_MANY_TOKEN_REVOCATIONS', '60'],
    ['contended', 503, 'CONTENTION', '1'],
    ['logless', 503, 'LOG_UNAVAILABLE', '1'],
    ['skewed', 503, 'CLOCKS_APART', '1'],
    ['readless', 503, 'READ_STORE_UNAVAILABLE', '1'],
    ['large', 413, 'EVENT_TOO_LARGE', null],
  ])('is a problem by its kind: %s', async (how, status, code, retryAfter) => {
    const answer = await failing(how);
    expect(answer).toMatchObject({ status, body: { type: 'about:blank', status, code } });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
    expect(JSON.stringify(answer.body)).not.toMatch(/ECONNREFUSED|consumerClient-/);
  });

  it('names the field at fault', async () => {
    const { body } = await failing('named');
    expect(body).toMatchObject({ errors: [{ field: 'name', message: 'name must have 1 to 100 characters' }] });
  });

  it('has other words for clocks that differ than for a log that does not answer', async () => {
    expect((await failing('skewed')).body).toMatchObject({
      detail: "This node's clock and the event log's differ too much; try again elsewhere or later",
    });
  });

  it('leaves every other error to the platform', async () => {
    expect(await failing('unforeseen')).toMatchObject({ status: 500, body: { code: 'INTERNAL' } });
  });
});
