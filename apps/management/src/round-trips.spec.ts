import { randomUUID } from 'node:crypto';
import { CredentialMint, MasterKeys, newClientId } from '#credentials';
import type { ClientId, ConsumerClientCommand } from '#domain';
import { type BookOfRecord, internalContext } from '#event-log';
import { uuidV5 } from '#events';
import { type DistantEventLog, startTwoNodes, type TwoNodes } from '../../../test/support/doubles/distant-event-log.js';
import { AssignToSubscription, AssignToSubscriptionHandler } from './clients/assign-to-subscription.js';
import { CreateClient, CreateClientHandler } from './clients/create-client.js';
import { RotateSecret, RotateSecretHandler } from './clients/rotate-secret.js';
import { MintDraft, MintDraftHandler } from './credential-drafts/mint-draft.js';
import type { ManagementDependencies } from './dependencies.js';
import { AggregateCommand, AggregateCommandHandler } from './requests/aggregate-command.js';
import type { HttpCommandRequest } from './requests/command-request.js';
import { RegisterSubscription, RegisterSubscriptionHandler } from './subscriptions/register-subscription.js';

const WORKSPACE = 'acme';
const SUBSCRIPTION = 'sub_weather';
const OAUTH2 = { name: 'Importer', authenticationType: 'OAUTH2' } as const;

const VERIFIER = '$argon2id$v=19$m=19456,t=2,p=1,keyid=a$b$c';

const masterKeys = MasterKeys.from({ current: Buffer.alloc(32, 7), previous: [] });
const now = () => new Date().toISOString();

let nodes: TwoNodes;
let distant: DistantEventLog;
let office: BookOfRecord;
let dependencies: ManagementDependencies;

beforeEach(async () => {
  nodes = await startTwoNodes();
  ({ distant, office } = nodes);
  const { book } = nodes;
  const mint = new CredentialMint({ keys: masterKeys });
  dependencies = { book, masterKeys, mint, clock: () => new Date() } as unknown as ManagementDependencies;
});
afterEach(async () => {
  await nodes.end();
});

const byOffice = () => ({ context: internalContext({ via: 'http', workspaceId: WORKSPACE }) });

/** A portal's request, with an `Idempotency-Key` or without one. */
const requestOf = (key?: string): HttpCommandRequest => ({
  context: internalContext({
    ...{ via: 'http', workspaceId: WORKSPACE },
    ...(key !== undefined && { commandId: uuidV5(key, 'f5a7a1a4-9d5c-4a54-8a1e-0d2f3b6c7e10') }),
  }),
  caller: { subject: 'portal-backend', workspaceId: WORKSPACE, scopes: [], at: now() },
  isNew: key === undefined,
});

const create = (request: HttpCommandRequest, body = OAUTH2 as ConstructorParameters<typeof CreateClient>[0]) =>
  new CreateClientHandler(dependencies).execute(new CreateClient(body, request));
const register = (request: HttpCommandRequest, subscriptionId = SUBSCRIPTION, endpointUri = 'weather') => {
  const body = { endpointUri, serviceName: 'Weather forecasts' };
  return new RegisterSubscriptionHandler(dependencies).execute(new RegisterSubscription(subscriptionId, body, request));
};
const assign = (request: HttpCommandRequest, clientId: ClientId) =>
  new AssignToSubscriptionHandler(dependencies).execute(new AssignToSubscription(clientId, SUBSCRIPTION, request));
const rotate = (request: HttpCommandRequest, clientId: ClientId, overlapSeconds: number) =>
  new RotateSecretHandler(dependencies).execute(new RotateSecret(clientId, { overlapSeconds }, request));
const mintDraft = (clientId?: ClientId) => {
  const body = { authenticationType: 'OAUTH2', ...(clientId !== undefined && { clientId }) } as const;
  return new MintDraftHandler(dependencies).execute(new MintDraft(body, requestOf().caller));
};
const changeClient = (request: HttpCommandRequest, clientId: ClientId, command: ConsumerClientCommand) =>
  new AggregateCommandHandler(dependencies).execute(new AggregateCommand('clients', clientId, command, request));
const end = (request: HttpCommandRequest) => {
  const command = { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'Over', at: now() } as const;
  return new AggregateCommandHandler(dependencies).execute(
    new AggregateCommand('subscriptions', SUBSCRIPTION, command, request),
  );
};

/** A client that this process knows. */
const knownClient = async (): Promise<ClientId> => {
  const { executed } = await create(requestOf());
  if (executed.state.status !== 'ACTIVE') throw new Error('The client was not created');
  return executed.state.clientId;
};

describe.each([
  ['without an Idempotency-Key', () => undefined],
  ['with an Idempotency-Key', () => randomUUID()],
])('a command %s', (_, newKey) => {
  const request = () => requestOf(newKey());
  const roundTrips = (send: () => Promise<unknown>) => distant.roundTrips(send);

  it('that creates a client waits for at most two round trips, from a draft too', async () => {
    expect(await roundTrips(() => create(request()))).toBeLessThanOrEqual(2);
    const { draft } = await mintDraft();
    expect(await roundTrips(() => create(request(), { ...OAUTH2, draft }))).toBeLessThanOrEqual(2);
  });

  it('that changes a client waits for at most two round trips, whether the process knows the client or not', async () => {
    await register(requestOf());
    const known = await knownClient();
    const unknown = newClientId();
    const identity = { clientId: unknown, workspaceId: WORKSPACE, ...OAUTH2, verifier: VERIFIER };
    await office.clients.execute(unknown, { type: 'CreateClient', ...identity, at: now() }, byOffice());
    for (const clientId of [unknown, known]) {
      expect(await roundTrips(() => assign(request(), clientId))).toBeLessThanOrEqual(2);
      expect(await roundTrips(() => rotate(request(), clientId, 600))).toBeLessThanOrEqual(2);
      for (const command of [
        { type: 'DescribeClient', name: 'Another' },
        { type: 'RetireCredential', generation: 1 },
        { type: 'UnassignFromSubscription', subscriptionId: SUBSCRIPTION, reason: 'REQUESTED' },
        { type: 'RevokeClient', reason: 'Retired' },
      ] as const) {
        const dated = { ...command, workspaceId: WORKSPACE, at: now() };
        expect(await roundTrips(() => changeClient(request(), clientId, dated))).toBeLessThanOrEqual(2);
      }
    }
  });

  it('that changes a client with a long history waits for at most two', async () => {
    const clientId = await knownClient();
    const renamed = (request: HttpCommandRequest, name: string) =>
      changeClient(request, clientId, { type: 'DescribeClient', workspaceId: WORKSPACE, name, at: now() });
    for (let n = 0; n < 1_200; n++) await renamed(requestOf(), `Name ${n}`);
    const key = newKey();
    expect(await roundTrips(() => renamed(requestOf(key), 'The last name'))).toBeLessThanOrEqual(2);
    // A command that may have been carried out before is looked for in the index of the older commands.
    expect(distant.called.includes('readPart')).toBe(key !== undefined);
  });

  it('that registers a subscription waits for three: the reads together, the claim, and the registration', async () => {
    expect(await roundTrips(() => register(request()))).toBe(3);
    expect(await roundTrips(() => register(request()))).toBeLessThanOrEqual(2);
    expect(await roundTrips(() => end(request()))).toBeLessThanOrEqual(2);
  });
});

test('a draft for a rotation waits for one round trip', async () => {
  const clientId = await knownClient();
  expect(await distant.roundTrips(() => mintDraft(clientId))).toBe(1);
});

test('a command with a used Idempotency-Key is found, although its stream was probably missing', async () => {
  const first = await create(requestOf('a key'));
  const again = await create(requestOf('a key'));
  expect(again.executed).toMatchObject({ outcome: 'repeated', revision: first.executed.revision });
  expect((await register(requestOf('another key'))).outcome).toBe('changed');
  expect((await register(requestOf('another key'))).outcome).not.toBe('changed');
});

test('a client is not assigned to a subscription that another node has ended', async () => {
  await register(requestOf());
  const clientId = await knownClient();
  const command = { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'Over', at: now() } as const;
  await office.subscriptions.execute(SUBSCRIPTION, command, byOffice());
  for (const key of [undefined, 'a key']) {
    await expect(assign(requestOf(key), clientId)).rejects.toMatchObject({ kind: 'conflict' });
  }
});

test('of two nodes that register a subscription at the same time, one does', async () => {
  const other = { ...dependencies, book: office } as ManagementDependencies;
  const body = { endpointUri: 'weather', serviceName: 'Weather forecasts' };
  const outcomes = await Promise.allSettled([
    register(requestOf(), 'sub_here'),
    new RegisterSubscriptionHandler(other).execute(new RegisterSubscription('sub_there', body, requestOf())),
  ]);
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
});
