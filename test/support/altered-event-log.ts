import { setTimeout as delay } from 'node:timers/promises';
import type { EventLog } from '#event-log';
import type { RecordedEvent } from '#events';

type ReadStream = EventLog['readStream'];

/** The log with another way to read streams; all else as it is. */
const reading = (log: EventLog, readStream: ReadStream): EventLog => ({
  sealHoldsAfterMs: log.sealHoldsAfterMs,
  get interruptions() {
    return log.interruptions;
  },
  get clockSkewMs() {
    return log.clockSkewMs;
  },
  append: (...call) => log.append(...call),
  readStream,
  readAll: (options) => log.readAll(options),
  eventAt: (position) => log.eventAt(position),
  end: () => log.end(),
  subscribe: (options) => log.subscribe(options),
  mark: () => log.mark(),
  close: () => log.close(),
});

/** Answers of streams' reads take `ms` on their way. */
export const slowToAnswer = (log: EventLog, ms: number): EventLog =>
  reading(log, async (...call) => {
    const events = await log.readStream(...call);
    await delay(ms);
    return events;
  });

/** A flaw: on EventStoreDB, whoever takes himself for the leader is believed. */
export const unfencedReads = (log: EventLog): EventLog =>
  reading(log, (stream, options) => log.readStream(stream, { ...options, consistency: 'any' }));

/** A flaw: who asks what is being read already gets that answer, though it may have been sent before he came. */
export function joiningReads(log: EventLog): EventLog {
  const running = new Map<string, Promise<RecordedEvent[]>>();
  return reading(log, (stream, options = {}) => {
    const { from, direction, limit, consistency } = options;
    const key = [stream, from, direction, limit, consistency].join('\n');
    const read = running.get(key) ?? log.readStream(stream, options).finally(() => running.delete(key));
    running.set(key, read);
    return read;
  });
}

/** A flaw: a client is read once; what came after the cached state is known by a subscription, `ms` after it happened. */
export function cachedReads(log: EventLog, ms: number): EventLog {
  const cached = new Map<string, Promise<RecordedEvent[]>>();
  const closing = new AbortController();
  const follow = async () => {
    for await (const { events } of log.subscribe({ signal: closing.signal })) {
      await delay(ms);
      for (const event of events) {
        const known = await cached.get(event.stream);
        if (known?.length === Number(event.revision)) known.push(event);
      }
    }
  };
  const followed = follow().catch(() => undefined);
  const readStream: ReadStream = async (stream, options = {}) => {
    if (!stream.startsWith('consumerClient-')) return log.readStream(stream, options);
    const { from = 0n, limit = Infinity } = options;
    const known = cached.get(stream) ?? log.readStream(stream, { consistency: 'strong' });
    cached.set(stream, known);
    return (await known).slice(Number(from)).slice(0, limit);
  };
  const close = async () => {
    closing.abort();
    await followed;
    await log.close();
  };
  return { ...reading(log, readStream), close };
}

/** A flaw: markers come through subscriptions, events don't. */
export const subscriptionsWithoutEvents = (log: EventLog): EventLog => ({
  ...reading(log, (...call) => log.readStream(...call)),
  subscribe: async function* (options) {
    for await (const batch of log.subscribe(options)) yield { ...batch, events: [] };
  },
});
