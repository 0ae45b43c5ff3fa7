import { endpointUri, type EndpointUriEvent, secondsAfter } from '#domain';
import { specification } from '../../test/support/events/given.js';

const given = specification(endpointUri);

const AT = '2026-03-01T08:00:00.000Z';
const OURS = { workspaceId: 'acme', subscriptionId: 'sub-1' };
const THEIRS = { workspaceId: 'globex', subscriptionId: 'sub-2' };

const claimed = (by: typeof OURS, { slug = 'weather', after = 0 } = {}): EndpointUriEvent => ({
  type: 'EndpointUriClaimed',
  data: { endpointUri: slug, ...by, commandId: 'cmd-1', claimedAt: secondsAfter(AT, after) },
});
/**
 * Makes a command that claims a slug. `holderIsRegistered`: whether the subscription of the last claim is registered
 * with the slug. `after`: seconds from `AT` to the claim.
 */
const claim = (by: typeof OURS, { slug = 'weather', holderIsRegistered = false, after = 0 } = {}) =>
  ({
    type: 'ClaimEndpointUri',
    ...{ endpointUri: slug, ...by, commandId: 'cmd-1', holderIsRegistered },
    at: secondsAfter(AT, after),
  }) as const;

it('has a stream for each slug', () => {
  expect(endpointUri.stream('weather')).toBe('endpointUri-weather');
});

describe('claiming an endpoint URI', () => {
  it('takes a free one', () => {
    given().when(claim(OURS)).then(claimed(OURS));
  });

  it('changes nothing when the same subscription has claimed it, registered or not yet', () => {
    given(claimed(OURS))
      .when(claim(OURS, { after: 29 }))
      .thenNothing();
    given(claimed(OURS))
      .when(claim(OURS, { holderIsRegistered: true, after: 86_400 }))
      .thenNothing();
  });

  it('is renewed when its registration did not follow in time', () => {
    given(claimed(OURS))
      .when(claim(OURS, { after: 30 }))
      .then(claimed(OURS, { after: 30 }));
  });

  it.each([THEIRS, { ...OURS, subscriptionId: 'sub-9' }, { ...THEIRS, subscriptionId: OURS.subscriptionId }])(
    'is refused while $subscriptionId of $workspaceId is registered with it',
    (holder) => {
      given(claimed(holder))
        .when(claim(OURS, { holderIsRegistered: true, after: 86_400 }))
        .thenRefused('endpoint_uri_taken', 'endpointUri');
    },
  );

  it('is refused while the registration of another may be under way', () => {
    given(claimed(THEIRS))
      .when(claim(OURS, { after: 59 }))
      .thenRefused('endpoint_uri_taken', 'endpointUri');
  });

  it.each([THEIRS, { ...OURS, subscriptionId: 'sub-9' }, { ...THEIRS, subscriptionId: OURS.subscriptionId }])(
    'takes over the claim of $subscriptionId of $workspaceId, which was never registered with it',
    (holder) => {
      given(claimed(holder))
        .when(claim(OURS, { after: 60 }))
        .then(claimed(OURS, { after: 60 }));
    },
  );

  it('belongs to the last claim', () => {
    given(claimed(THEIRS), claimed(OURS))
      .when(claim(OURS, { holderIsRegistered: true }))
      .thenNothing();
    given(claimed(THEIRS), claimed(OURS))
      .when(claim(THEIRS, { holderIsRegistered: true }))
      .thenRefused('endpoint_uri_taken', 'endpointUri');
  });

  it.each(['abc', '0ab', 'a--', 'my-service-2', 'x'.repeat(63)])('accepts the slug %j', (slug) => {
    given().when(claim(OURS, { slug })).then(claimed(OURS, { slug }));
  });

  it.each(['', 'ab', '-ab', 'Abc', 'a_b', 'a.b', 'a b', 'a/b', 'äbc', 'abc\n', 'x'.repeat(64)])(
    'refuses the slug %j',
    (slug) => {
      given().when(claim(OURS, { slug })).thenRefused('invalid_endpoint_uri', 'endpointUri');
    },
  );

  it.each(['login', 'oauth', 'gateway', 'health', 'metrics', 'docs', 'openapi'])(
    "refuses /%s, a path of the service's own",
    (slug) => {
      given().when(claim(OURS, { slug })).thenRefused('invalid_endpoint_uri', 'endpointUri');
    },
  );
});
