import { consumerClient, type ConsumerClientEvent, type ConsumerClientState } from '#domain';
import type { Folded } from '#event-log';
import { type RecordedEvent, seal } from '#events';
import { FollowedStreams } from './followed-streams.js';

const AT = '2026-06-01T12:00:00.000Z';
const STREAM = 'consumerClient-cc_0123456789abcdefghijkl';
const created: ConsumerClientEvent = {
  type: 'ConsumerClientCreated',
  data: {
    clientId: 'cc_0123456789abcdefghijkl',
    workspaceId: 'acme',
    name: 'Orders',
    authenticationType: 'OAUTH2',
    verifier: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g',
    createdAt: AT,
  },
};
const renamed = (name: string): ConsumerClientEvent => ({ type: 'ConsumerClientRenamed', data: { name } });

/** Returns the events in the form in which the log delivers them. */
const recorded = (...events: ConsumerClientEvent[]): RecordedEvent[] => {
  const context = {
    commandId: '0d1f6c3e-58a1-4f0b-9c53-2f6b1f0f7a10',
    commandHash: '',
    actor: { subject: 'a-test', roles: [], via: 'http' },
    correlationId: 'a-test',
    causationId: 'a-test',
  };
  return seal(STREAM, undefined, events, context, AT).map((event, i) => ({
    ...event,
    stream: STREAM,
    revision: BigInt(i),
    position: String(i),
  }));
};
const [first, second, third] = recorded(created, renamed('Second'), renamed('Third')) as [
  RecordedEvent,
  RecordedEvent,
  RecordedEvent,
];
const folded = (name: string, revision: bigint): Folded<ConsumerClientState> => ({
  state: consumerClient.evolve(consumerClient.evolve({ status: 'NONE' }, created), renamed(name)),
  revision,
  position: undefined,
});

/** The test itself resolves or rejects each read of these streams. */
const byHand = (maxSize = 10) => {
  const reads: PromiseWithResolvers[] = [];
  const streams = new FollowedStreams<string, ConsumerClientState, ConsumerClientEvent>({
    aggregate: { stream: (id) => `consumerClient-${id}`, evolve: consumerClient.evolve },
    read: () =>
      new Promise((resolve, reject) => {
        reads.push({ resolve, reject });
      }),
    maxSize,
  });
  return { streams, reads };
};
interface PromiseWithResolvers {
  readonly resolve: (read: Folded<ConsumerClientState>) => void;
  readonly reject: (error: Error) => void;
}
const ID = STREAM.slice('consumerClient-'.length);
const nameOf = (state: ConsumerClientState | undefined) => (state?.status === 'ACTIVE' ? state.name : undefined);
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a followed stream', () => {
  it('is read once for all waiting callers, and then kept current', async () => {
    const { streams, reads } = byHand();
    const filled = Promise.all([streams.fill(ID), streams.fill(ID)]);
    await turn();
    expect(streams.get(ID)).toBeUndefined();
    reads[0]?.resolve(folded('First', 0n));
    await filled;
    expect(reads).toHaveLength(1);
    expect(nameOf(streams.get(ID))).toBe('First');
    streams.apply(second);
    expect(nameOf(streams.get(ID))).toBe('Second');
    streams.apply(third);
    expect(nameOf(streams.get(ID))).toBe('Third');
  });

  it('applies the events that arrived during the read after it, by revision', async () => {
    const { streams, reads } = byHand();
    const filled = streams.fill(ID);
    for (const event of [first, second, third]) streams.apply(event);
    await turn();
    reads[0]?.resolve(folded('Second', 1n));
    await filled;
    expect(nameOf(streams.get(ID))).toBe('Third');
    streams.apply(second);
    expect(nameOf(streams.get(ID))).toBe('Third');
  });

  it('is forgotten when an event is missing or cannot be applied', async () => {
    const { streams, reads } = byHand();
    const fill = async (read: Folded<ConsumerClientState>) => {
      const filled = streams.fill(ID);
      await turn();
      reads.at(-1)?.resolve(read);
      await filled;
    };
    await fill(folded('First', 0n));
    streams.apply(third);
    expect(streams.get(ID)).toBeUndefined();
    await fill(folded('First', 0n));
    streams.apply({ ...second, type: 'ConsumerClientTeleported' });
    expect(streams.get(ID)).toBeUndefined();
  });

  it('is missing after a failed read, and is read again', async () => {
    const { streams, reads } = byHand();
    const filled = streams.fill(ID);
    await turn();
    reads[0]?.reject(new Error('No answer'));
    await expect(filled).rejects.toThrow('No answer');
    expect(streams.get(ID)).toBeUndefined();
    const again = streams.fill(ID);
    await turn();
    reads[1]?.resolve(folded('First', 0n));
    await again;
    expect(nameOf(streams.get(ID))).toBe('First');
  });

  it('is not brought back by a read that began before everything was forgotten', async () => {
    const { streams, reads } = byHand();
    const filled = streams.fill(ID);
    await turn();
    streams.clear();
    streams.apply(second); // This event's stream is not in the cache.
    reads[0]?.resolve(folded('First', 0n));
    await filled;
    expect(streams.get(ID)).toBeUndefined();
  });

  it('makes room for others, by their size', async () => {
    const { streams, reads } = byHand(3);
    for (const id of ['a', 'b', 'c', 'd']) {
      const filled = streams.fill(id);
      await turn();
      reads.at(-1)?.resolve(folded('First', 0n));
      await filled;
    }
    expect(['a', 'b', 'c', 'd'].filter((id) => streams.get(id))).toEqual(['b', 'c', 'd']);
  });
});
