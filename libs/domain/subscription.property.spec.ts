import fc from 'fast-check';
import { subscription, type SubscriptionCommand } from '#domain';
import { type CommandAt, history, play } from '../../test/support/events/play.js';

const START = '2026-03-01T08:00:00.000Z';

const workspaceId = fc.constantFrom('acme', 'acme', 'acme', 'globex');
const commands = history(
  START,
  fc.oneof(
    fc
      .record({
        subscriptionId: fc.constantFrom('sub-1', 'sub-1', 'sub-1', 'sub 1'),
        workspaceId,
        endpointUri: fc.constantFrom('weather', 'weather', 'forecast', 'login'),
        serviceName: fc.constantFrom('Weather', ' Weather', 'Forecast', ''),
      })
      .map<CommandAt<SubscriptionCommand>>((fields) => (at) => ({ type: 'RegisterSubscription', ...fields, at })),
    fc
      .record({ workspaceId, reason: fc.constantFrom('contract over', 'moved', ' ') })
      .map<CommandAt<SubscriptionCommand>>((fields) => (at) => ({ type: 'EndSubscription', ...fields, at })),
  ),
  { maxLength: 30 },
);

describe('a subscription', () => {
  it('is registered once and ended once, in this order', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(commands, (history) => {
        const types = play(subscription, [], history).flatMap(({ events }) => events.map(({ type }) => type));
        expect(['SubscriptionRegistered', 'SubscriptionEnded'].slice(0, types.length)).toEqual(types);
        types.forEach((type) => seen.add(type));
      }),
    );
    expect(seen.size).toBe(2);
  });

  it('keeps the values of its registration for ever', () => {
    fc.assert(
      fc.property(commands, (history) => {
        for (const { before, after } of play(subscription, [], history)) {
          if (before.status === 'UNREGISTERED') continue;
          const { subscriptionId, workspaceId, endpointUri, serviceName, registeredAt } = before;
          expect(after).toMatchObject({ subscriptionId, workspaceId, endpointUri, serviceName, registeredAt });
        }
      }),
    );
  });

  it('decides nothing when a command is repeated', () => {
    fc.assert(
      fc.property(commands, (history) => {
        for (const { command, refusal, after } of play(subscription, [], history)) {
          if (refusal === undefined) expect(subscription.decide(after, command)).toEqual([]);
        }
      }),
    );
  });
});
