import { subscription, type SubscriptionEvent } from '#domain';
import { fold, specification } from '../../test/support/events/given.js';

const given = specification(subscription);

const MORNING = '2026-03-01T08:00:00.000Z';
const NOON = '2026-03-01T12:00:00.000Z';
const WEATHER = { subscriptionId: 'sub-1', workspaceId: 'acme', endpointUri: 'weather', serviceName: 'Weather' };

const registered: SubscriptionEvent = { type: 'SubscriptionRegistered', data: { ...WEATHER, registeredAt: MORNING } };
const ended = (reason: string): SubscriptionEvent => ({
  type: 'SubscriptionEnded',
  data: { subscriptionId: 'sub-1', reason, endedAt: NOON },
});

const register = (change: Partial<typeof WEATHER> = {}) =>
  ({ type: 'RegisterSubscription', ...WEATHER, ...change, at: MORNING }) as const;
const endSubscription = (reason: string, workspaceId = 'acme') =>
  ({ type: 'EndSubscription', workspaceId, reason, at: NOON }) as const;

it('has a stream of its own', () => {
  expect(subscription.stream('sub-1')).toBe('subscription-sub-1');
});

describe('registering a subscription', () => {
  it('records its workspace, endpoint URI and service', () => {
    given().when(register()).then(registered);
  });

  it('trims the service name', () => {
    given()
      .when(register({ serviceName: '  Weather\n' }))
      .then(registered);
  });

  it('changes nothing when it is registered with the same values', () => {
    given(registered).when(register()).thenNothing();
    given(registered)
      .when(register({ serviceName: ' Weather ' }))
      .thenNothing();
  });

  it('is refused when it is registered with other values', () => {
    given(registered)
      .when(register({ endpointUri: 'forecast' }))
      .thenRefused('subscription_exists');
    given(registered)
      .when(register({ serviceName: 'Forecast' }))
      .thenRefused('subscription_exists');
  });

  it('is refused once it has ended, with the same values too', () => {
    given(registered, ended('contract over')).when(register()).thenRefused('subscription_exists');
  });

  it("does not tell that another workspace's subscription exists", () => {
    given(registered)
      .when(register({ workspaceId: 'globex' }))
      .thenRefused('subscription_not_found');
    given(registered, ended('contract over'))
      .when(register({ workspaceId: 'globex' }))
      .thenRefused('subscription_not_found');
  });

  it.each(['', 'a b', 'ä', 'sub.1', 'sub/1', 'sub-1\n', 'x'.repeat(65)])('refuses the id %j', (subscriptionId) => {
    given().when(register({ subscriptionId })).thenRefused('invalid_subscription_id', 'subscriptionId');
  });

  it.each(['x', '-', '_-_', 'x'.repeat(64)])('accepts the id %j', (subscriptionId) => {
    given()
      .when(register({ subscriptionId }))
      .then({ type: 'SubscriptionRegistered', data: { ...WEATHER, subscriptionId, registeredAt: MORNING } });
  });

  it.each(['ab', 'Weather', 'login'])('refuses the endpoint URI %j', (endpointUri) => {
    given().when(register({ endpointUri })).thenRefused('invalid_endpoint_uri', 'endpointUri');
  });

  it.each(['', '   ', 'x'.repeat(101), 'a\u0000b', 'a\ud800b'])('refuses the service name %j', (serviceName) => {
    given().when(register({ serviceName })).thenRefused('invalid_service_name', 'serviceName');
  });
});

describe('ending a subscription', () => {
  it('records the reason, trimmed', () => {
    given(registered).when(endSubscription('contract over')).then(ended('contract over'));
    given(registered).when(endSubscription(' contract over ')).then(ended('contract over'));
  });

  it('happens once', () => {
    given(registered, ended('contract over')).when(endSubscription('again')).thenNothing();
  });

  it('is refused for one that was never registered', () => {
    given().when(endSubscription('typo')).thenRefused('subscription_not_found');
  });

  it("does not tell that another workspace's subscription exists", () => {
    given(registered).when(endSubscription('sabotage', 'globex')).thenRefused('subscription_not_found');
    given(registered, ended('contract over'))
      .when(endSubscription('sabotage', 'globex'))
      .thenRefused('subscription_not_found');
  });

  it.each(['', ' \t', 'x'.repeat(501), 'a\u001bb', '\udfff'])('refuses the reason %j', (reason) => {
    given(registered).when(endSubscription(reason)).thenRefused('invalid_reason', 'reason');
  });

  it('keeps the values of the registration', () => {
    expect(fold(subscription, [registered, ended('contract over')])).toEqual({
      status: 'ENDED',
      ...WEATHER,
      registeredAt: MORNING,
      endedAt: NOON,
      reason: 'contract over',
    });
  });
});

it.each<[string, SubscriptionEvent[]]>([
  ['an end before the registration', [ended('contract over')]],
  ['a second registration', [registered, registered]],
  ['a registration after the end', [registered, ended('contract over'), registered]],
  ['a second end', [registered, ended('contract over'), ended('again')]],
])('fails loudly on a stream with %s', (_what, events) => {
  expect(() => fold(subscription, events)).toThrow('in the stream of a subscription that is');
});
