import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { MasterKeys } from '#credentials';
import { consumerClient, type ConsumerClientEvent, type Instant } from '#domain';
import { type Position, type RecordedEvent, upcast } from '#events';
import { clientAsOf, type LoginReason } from '#replay';
import { RefreshTokens, SigningKeyRing } from '#tokens';
import type { AuthDependencies } from '../../apps/auth/src/dependencies.js';
import { AuthenticationLimits } from '../../apps/auth/src/http/authentication-limits.js';
import { OAuthError } from '../../apps/auth/src/http/oauth-error.js';
import { ClientAuthentication } from '../../apps/auth/src/login/client-authentication.js';
import { RequestedEndpoint } from '../../apps/auth/src/login/endpoint-owner.js';
import { Login } from '../../apps/auth/src/login/login.js';
import { UnrecordedUsage } from '../../apps/auth/src/login/unrecorded-usage.js';
import { anyClockChange } from '../support/events/play.js';
import { anyCommand, carryOut, CLIENTS, type Command, endSubscription, SUBSCRIPTIONS } from './any-command.js';
import { clientNamed, Stage, VERIFIER_MARK, WORKSPACE } from './stage.js';

const MASTER_KEYS = MasterKeys.from({ current: randomBytes(32) });
const GENERATIONS = [1, 2, 3];

/** Logs in as a real process does, but the secret of a generation is its number: nothing is hashed. */
async function authOf(stage: Stage) {
  const ring = new SigningKeyRing(stage.book.signingKeys, MASTER_KEYS, { alg: 'EdDSA', now: stage.now });
  await ring.start();
  const generationIn = (offered: unknown, credentials: readonly { generation: number }[]) =>
    credentials.find(({ generation }) => String(generation) === offered)?.generation;
  const dependencies = {
    ...{ book: stage.book, ring, issuer: 'https://example.test', clock: stage.now },
    verifier: { offered: (_: string, secret: string) => secret, recall: generationIn, verify: () => Promise.resolve() },
    refreshTokens: new RefreshTokens(MASTER_KEYS),
    now: () => stage.now().toISOString(),
  } as unknown as AuthDependencies;
  const usage = new UnrecordedUsage();
  const limits = new AuthenticationLimits({ rateLimits: { loginPerClient: 0, loginPerAddress: 0 } as never });
  const authentication = new ClientAuthentication(dependencies, limits, usage);
  const login = new Login(dependencies, usage);

  return async (n: number, generation: number, uri?: string): Promise<LoginReason | 'UNKNOWN_CLIENT'> => {
    const endpoint = uri === undefined ? undefined : new RequestedEndpoint(stage.book, uri);
    const request = { address: () => '127.0.0.1', answerHeaders: {}, facts: {} } as never;
    try {
      const presented = { clientId: clientNamed(n), secret: String(generation) };
      await login.login(await authentication.authenticate(presented, request), undefined, endpoint, 'a-login');
      return 'OK';
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      return error.reason === 'BAD_SECRET' ? 'EXPIRED' : (error.reason as LoginReason);
    }
  };
}

/** What logins were answered at a moment, when the log had its end at `position`. */
interface Recorded {
  readonly n: number;
  readonly at: Instant;
  readonly position: Position;
  readonly logins: ReadonlyMap<number, LoginReason | 'UNKNOWN_CLIENT'>;
  readonly atEndpoints: ReadonlyMap<string, LoginReason | 'UNKNOWN_CLIENT'>;
}

const play = fc.array(
  fc.record({
    command: anyCommand,
    // A command takes a second, so -1 gives it the time of the command before.
    clock: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(0, 0, -1) }, { weight: 1, arbitrary: anyClockChange }),
    n: fc.integer({ min: 0, max: CLIENTS - 1 }),
    logsIn: fc.boolean(),
  }),
  { minLength: 10, maxLength: 25, size: 'max' },
);

const [ENDPOINT = ''] = SUBSCRIPTIONS;
const step = (command: Command, logsIn = false) => ({ command, clock: 0, n: 0, logsIn });
/** A play in which a login at an endpoint succeeds, and no longer does after the end of the subscription. */
const goodAtEndpoint = [
  step((stage) => stage.register(ENDPOINT)),
  step((stage) => stage.create(0)),
  step((stage) => stage.assign(0, ENDPOINT), true),
  step((stage) => endSubscription(stage, ENDPOINT), true),
];

const foldOf = (events: readonly RecordedEvent[]) =>
  events.reduce(
    (state, event) => consumerClient.evolve(state, upcast(event) as ConsumerClientEvent),
    consumerClient.initial,
  );

const streamOf = (events: readonly RecordedEvent[], n: number) =>
  events.filter(({ stream }) => stream === consumerClient.stream(clientNamed(n)));

describe('the past of a client', () => {
  it('is the fold of its events up to then, at every revision, position and time, whatever the clocks did', async () => {
    await fc.assert(
      fc.asyncProperty(play, async (steps) => {
        const stage = await Stage.open();
        try {
          for (const { clock, command } of steps) {
            stage.changeClock(clock);
            await carryOut(command, stage);
          }
          const events = await stage.events();
          const { clients } = stage.book;
          for (let n = 0; n < CLIENTS; n++) {
            const own = streamOf(events, n);
            for (const { revision, position, metadata } of own) {
              const upTo = own.filter((event) => event.revision <= revision);
              const byRevision = await clients.asOf(clientNamed(n), { by: 'revision', revision });
              expect(byRevision).toEqual({
                state: foldOf(upTo),
                last: { revision, position, occurredAt: metadata.occurredAt },
              });
              expect(await clients.asOf(clientNamed(n), { by: 'position', position })).toEqual(byRevision);
              const at = metadata.occurredAt;
              const byTime = await clients.asOf(clientNamed(n), { by: 'time', at });
              expect(byTime.state).toEqual(foldOf(own.filter((event) => event.metadata.occurredAt <= at)));
            }
            for (const { position } of events) {
              const { state } = await clients.asOf(clientNamed(n), { by: 'position', position });
              expect(state).toEqual(foldOf(own.filter((event) => event.position <= position)));
            }
          }
        } finally {
          await stage.close();
        }
      }),
      { numRuns: 12 },
    );
  });

  it('says of each login what it was answered, and nothing that came later changes that', async () => {
    await fc.assert(
      fc.asyncProperty(play, async (steps) => {
        const stage = await Stage.open();
        try {
          const logIn = await authOf(stage);
          for (const uri of SUBSCRIPTIONS) await stage.claim(uri);
          const recorded: Recorded[] = [];
          for (const { clock, command, n, logsIn } of steps) {
            stage.changeClock(clock);
            await carryOut(command, stage);
            if (!logsIn) continue;
            const [at, position] = [stage.now().toISOString(), (await stage.log.end()) ?? ''];
            const logins = new Map<number, LoginReason | 'UNKNOWN_CLIENT'>();
            for (const generation of GENERATIONS) logins.set(generation, await logIn(n, generation));
            const good = GENERATIONS.find((generation) => logins.get(generation) === 'OK') ?? 1;
            const atEndpoints = new Map<string, LoginReason | 'UNKNOWN_CLIENT'>();
            for (const uri of SUBSCRIPTIONS) atEndpoints.set(uri, await logIn(n, good, uri));
            recorded.push({ n, at, position, logins, atEndpoints });
          }
          // Everything that happens from here on must not be seen.
          stage.changeClock(31_536_000);
          for (let n = 0; n < CLIENTS; n++) await carryOut((one) => one.revoke(n), stage);
          for (const each of recorded) await expectAnswers(stage, each);
        } finally {
          await stage.close();
        }
      }),
      { numRuns: 12, examples: [[goodAtEndpoint]] },
    );
  });
});

async function expectAnswers(stage: Stage, { n, at, position, logins, atEndpoints }: Recorded): Promise<void> {
  const asking = clientAsOf(stage.book, {
    ...{ workspaceId: WORKSPACE, clientId: clientNamed(n), basis: { by: 'position', position } },
    ...{ judgedAt: at, now: '9999-01-01T00:00:00.000Z' },
  });
  if (logins.get(1) === 'UNKNOWN_CLIENT') {
    await expect(asking).rejects.toMatchObject({ kind: 'not_found' });
    return;
  }
  const past = await asking;
  expect(JSON.stringify(past)).not.toContain(VERIFIER_MARK);
  const answers = [...logins.values()];
  expect(past.wouldLogIn.yes).toBe(answers.includes('OK'));
  if (!past.wouldLogIn.yes) expect(answers).toContain(past.wouldLogIn.reason);
  for (const [generation, answer] of logins) {
    const credential = past.credentials.find((each) => each.generation === generation);
    expect(credential?.wouldLogIn.yes ?? false).toBe(answer === 'OK');
    if (credential) expect(credential.wouldLogIn.reason).toBe(answer);
  }
  for (const [uri, answer] of atEndpoints) {
    const assignment = past.subscriptions.find(({ endpointUri }) => endpointUri === uri);
    expect(assignment?.wouldLogIn.yes ?? false).toBe(answer === 'OK');
    if (assignment) expect(assignment.wouldLogIn.reason).toBe(answer);
  }
}
