import { type Answer, eventually } from '../support/api/http.js';
import { apiKeyLogin } from '../support/api/login.js';
import { type ClientAnswer, Portal, secretOf } from '../support/api/portal.js';
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
    for (const [by, query] of ['time', 'position', 'revision'].map(
      (name, at) => [name, bases('created')[at]] as const,
    )) {
      const { status, body } = await auditor.state(clientId, query);
      expect(status).toBe(200);
      expect(body.basis).toMatchObject({ by, revision: 0, leafIndex: null, position: moments.created?.position });
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
