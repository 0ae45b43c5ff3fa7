import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Aggregate, consumerClient, endpointUri, externalId, signingKeys, subscription } from '#domain';
import { type JsonObject, type LogEvent, type RecordedEvent, upcast } from '#events';
import { decodeState, encodeState } from './state-json.js';

type AnyAggregate = Pick<Aggregate<never, unknown, never, LogEvent>, 'initial' | 'evolve' | 'stateVersion'>;

/** Histories of each aggregate, with stored events of all its types in an order in which they can occur. */
const histories: [name: string, aggregate: AnyAggregate, types: string[]][] = [
  [
    'consumerClient',
    consumerClient as AnyAggregate,
    [
      'ConsumerClientCreated.v1',
      'ConsumerClientRenamed.v1',
      'ConsumerClientAssignedToSubscription.v1',
      'ConsumerClientStaticTokenIssued.v1',
      'ConsumerClientStaticTokenIssued.v2',
      'ConsumerClientSecretRotated.v2',
      'ConsumerClientTokenRevoked.v1',
      'ConsumerClientTokensEnded.v1',
      'ConsumerClientCredentialRetired.v1',
      'ConsumerClientUnassignedFromSubscription.v1',
      'ConsumerClientRevoked.v1',
    ],
  ],
  [
    'consumerClientWithDescription',
    consumerClient as AnyAggregate,
    [
      'ConsumerClientCreated.v2',
      'ConsumerClientDescribed.v1',
      'ConsumerClientSecretRotated.v1',
      'ConsumerClientSecretRotated.v3',
      'ConsumerClientRevoked.v1',
    ],
  ],
  ['subscription', subscription as AnyAggregate, ['SubscriptionRegistered.v1', 'SubscriptionEnded.v1']],
  ['endpointUri', endpointUri as AnyAggregate, ['EndpointUriClaimed.v1']],
  ['externalId', externalId as AnyAggregate, ['ExternalIdClaimed.v1']],
  [
    'signingKeys',
    signingKeys as AnyAggregate,
    [
      'MasterKeyCheckRecorded.v1',
      'SigningKeyPublished.v1',
      'SigningKeyActivated.v1',
      'SigningKeyRewrapped.v1',
      'SigningKeyRetired.v1',
      'SigningKeyCompromised.v1',
      'LogKeyPublished.v1',
    ],
  ],
];

const readJson = (...path: string[]): JsonObject => JSON.parse(readFileSync(join(...path), 'utf8')) as JsonObject;

const EVENTS = [__dirname, '..', '..', '..', 'events', 'golden'];

const storedEvent = (name: string): LogEvent => {
  const { event } = readJson(...EVENTS, `${name}.golden.json`);
  return upcast(event as RecordedEvent);
};

const statesOf = ({ initial, evolve }: AnyAggregate, types: readonly string[]): unknown[] => {
  const states = [initial];
  for (const type of types) states.push(evolve(states.at(-1), storedEvent(type)));
  return states;
};

it('is checked for every stored event of these streams', () => {
  const checked = histories.flatMap(([, , types]) => types);
  const stored = readdirSync(join(...EVENTS)).map((name) => name.replace('.golden.json', ''));
  const ofAggregates = /^(ConsumerClient|Subscription|EndpointUri|ExternalId|MasterKey|SigningKey(?!s)|LogKey)/;
  expect(new Set(checked)).toEqual(new Set(stored.filter((name) => ofAggregates.test(name))));
});

describe.each(histories)('the state of %s', (name, aggregate, types) => {
  // If this test fails because the state or its making has changed, increase `stateVersion` of the aggregate, and add a
  // golden file for the new version. Otherwise this software would continue from states that other code has stored.
  it('is the state that its version stands for', () => {
    const golden = readJson(__dirname, 'golden', `${name}.v${aggregate.stateVersion}.golden.json`);
    expect(statesOf(aggregate, types).map(encodeState)).toEqual(golden.states);
  });

  it('is the same after it was stored and read', () => {
    for (const state of statesOf(aggregate, types)) {
      expect(decodeState(JSON.parse(JSON.stringify(encodeState(state))))).toEqual(state);
    }
  });
});

describe('the JSON form of a state', () => {
  it('keeps maps, sets, bigints and what is in them', () => {
    const state = { map: new Map([['a', { at: 1n, keys: new Set(['x', 'y']) }]]), list: [null, true, 1.5, 'text', []] };
    expect(decodeState(JSON.parse(JSON.stringify(encodeState(state))))).toEqual(state);
  });

  it.each([[{ $: 'bigint' }], [new Date()], [[undefined]], [NaN], [{ run: () => 1 }]])(
    'is refused for a value that it can’t represent: %p',
    (value) => {
      expect(() => encodeState(value)).toThrow(TypeError);
    },
  );

  it('is not made up from something else', () => {
    expect(() => decodeState({ $: 'Map', entries: 'none' })).toThrow(TypeError);
    expect(() => decodeState({ $: 'Date', value: '1' })).toThrow(TypeError);
  });
});
