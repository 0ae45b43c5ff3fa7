import fc from 'fast-check';
import { type DescriptionChange, DomainError, secondsAfter } from '#domain';
import { USAGE_OUTCOMES, type UsageEntry } from '#events';
import { clientNamed, type Stage, usageEntry, verifier, WORKSPACE } from './stage.js';

/** Sends one command to the stage, at the stage's time. */
export type Command = (stage: Stage) => Promise<unknown>;

/** The number of clients that the commands name. */
export const CLIENTS = 4;
/** The subscriptions that the commands name; their endpoint URIs are the same texts. */
export const SUBSCRIPTIONS = ['sub-a', 'sub-b', 'sub-c'];

const client = fc.integer({ min: 0, max: CLIENTS - 1 });
const subscription = fc.constantFrom(...SUBSCRIPTIONS);

/** An attempt to use a client, which need not make sense either. */
const attempt: fc.Arbitrary<Partial<UsageEntry>> = fc.record({
  generation: fc.constantFrom(null, 1, 2, 3),
  outcome: fc.constantFrom(...USAGE_OUTCOMES),
});

const description: fc.Arbitrary<DescriptionChange> = fc.record(
  {
    description: fc.constantFrom('Imports forecasts', null),
    labels: fc.dictionary(fc.constantFrom('team', 'a.b/c', '7'), fc.constantFrom('one', 'two', null)),
    externalId: fc.constantFrom('crm:1', 'crm:2', null),
  },
  { requiredKeys: [] },
);

/** Any command that a portal, a login or the process manager may send. The command need not make sense. */
export const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(client, fc.string({ minLength: 1, maxLength: 20 })).map(
    ([n, name]): Command =>
      (stage) =>
        stage.create(n, name),
  ),
  fc.tuple(client, fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })).map(
    ([n, name]): Command =>
      (stage) =>
        stage.rename(n, name),
  ),
  fc.tuple(client, description).map(
    ([n, change]): Command =>
      (stage) =>
        stage.client(clientNamed(n), { type: 'DescribeClient', workspaceId: WORKSPACE, ...change, at: stage.at() }),
  ),
  fc
    .tuple(client, fc.constantFrom(0, 1, 60), fc.constantFrom(undefined, 1, 30))
    .map(([n, overlapSeconds, lifetime]): Command => (stage) => {
      const at = stage.at();
      return stage.client(clientNamed(n), {
        ...{
          type: 'RotateSecret',
          workspaceId: WORKSPACE,
          verifier: verifier(String(n)),
          hint: 'aB3x',
          overlapSeconds,
        },
        ...(lifetime !== undefined && { expiresAt: secondsAfter(at, lifetime) }),
        at,
      });
    }),
  fc.tuple(client, fc.integer({ min: 1, max: 4 })).map(
    ([n, generation]): Command =>
      (stage) =>
        stage.client(clientNamed(n), {
          ...{ type: 'RetireCredential', workspaceId: WORKSPACE, generation, at: stage.at() },
        }),
  ),
  fc.tuple(client, subscription).map(
    ([n, id]): Command =>
      (stage) =>
        stage.assign(n, id),
  ),
  fc.tuple(client, subscription).map(
    ([n, subscriptionId]): Command =>
      (stage) =>
        stage.client(clientNamed(n), {
          ...{ type: 'UnassignFromSubscription', workspaceId: WORKSPACE, subscriptionId, reason: 'REQUESTED' },
          at: stage.at(),
        }),
  ),
  subscription.map(
    (id): Command =>
      (stage) =>
        stage.register(id),
  ),
  fc.tuple(client, fc.constantFrom('one', 'two'), attempt).map(
    ([n, process, ofClient]): Command =>
      (stage) =>
        useClient(stage, n, process, ofClient),
  ),
  {
    weight: 1,
    arbitrary: subscription.map(
      (id): Command =>
        (stage) =>
          endSubscription(stage, id),
    ),
  },
  {
    weight: 1,
    arbitrary: client.map(
      (n): Command =>
        (stage) =>
          stage.revoke(n),
    ),
  },
);

/** Records an attempt to use the client, if the client exists. */
const useClient = async (stage: Stage, n: number, process: string, attempt: Partial<UsageEntry>) => {
  const { state } = await stage.book.clients.read(clientNamed(n));
  if (state.status !== 'NONE') await stage.recordUsage(process, [usageEntry(clientNamed(n), stage.at(), attempt)]);
};

export const endSubscription = (stage: Stage, id: string) =>
  stage.subscription(id, { type: 'EndSubscription', workspaceId: WORKSPACE, reason: 'over', at: stage.at() });

/** Sends the command. The command may be refused, since a refused command writes nothing. */
export async function carryOut(command: Command, stage: Stage): Promise<void> {
  try {
    await command(stage);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
  }
}
