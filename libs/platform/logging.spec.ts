import { createLogger } from '#platform';

const SECRET = 'ccs_NotForAnyone';

const logged = (fields: object) => {
  let line = '';
  createLogger('info', { write: (text) => (line += text) }).info(fields, 'something happened');
  return line;
};

describe('a log line', () => {
  it('is JSON that says when, how bad, and what', () => {
    expect(JSON.parse(logged({ clientId: 'cc_1' }))).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      clientId: 'cc_1',
      msg: 'something happened',
    });
  });

  it('takes what JSON does not know, and what has no end', () => {
    const endless: Record<string, unknown> = {};
    endless.self = endless;
    expect(JSON.parse(logged({ revision: 4n, endless, err: new Error('broken') }))).toMatchObject({
      revision: '4',
      err: { type: 'Error', message: 'broken', stack: expect.stringContaining('logging.spec') as string },
    });
  });

  it('has no stack of an outage, but its causes', () => {
    const cause = new Error('connect ECONNREFUSED');
    const err = Object.assign(new Error('The event log is not available', { cause }), { kind: 'unavailable' });
    const outage = { message: 'The event log is not available: connect ECONNREFUSED', kind: 'unavailable' };
    expect(JSON.parse(logged({ err }))).toMatchObject({ err: { type: 'Error', ...outage } });
    expect(logged({ err })).not.toContain('logging.spec');
  });

  it('names an error that has lost its class on the way from another thread', () => {
    const err = Object.assign(new Error('It is locked'), { name: 'ReadStoreUnavailable' });
    expect(JSON.parse(logged({ err }))).toMatchObject({
      err: { type: 'ReadStoreUnavailable', message: 'It is locked' },
    });
  });

  it.each(['authorization', 'apiKey', 'clientSecret', 'draft', 'verifier', 'wrappedKey', 'access_token', 'token'])(
    'never holds %s',
    (field) => {
      expect(logged({ [field]: SECRET, body: { [field]: SECRET }, clientId: 'cc_1' })).not.toContain(SECRET);
      expect(logged({ deep: { deeper: [{ [field]: SECRET }] }, masterKeys: [Buffer.from(SECRET)] })).not.toContain(
        SECRET,
      );
      expect(logged({ err: Object.assign(new Error('refused'), { [field]: SECRET }) })).not.toContain(SECRET);
    },
  );
});
