import { setTimeout as delay } from 'node:timers/promises';
import type { EventLog } from '#event-log';
import type { RecordedEvent } from '#events';

type ReadStream = EventLog['readStream'];

/** Returns the same log, but with another function `readStream`. */
const reading = (log: EventLog, readStream: ReadStream): EventLog => ({
  sealHoldsAfterMs: log.sealHoldsAfterMs,
  get connectionEpoch() {
    return log.connectionEpoch;
  },
  get clockSkewMs() {
    return log.clockSkewMs;
  },
  get clockBehindMs() {
    return log.clockBehindMs;
  },
  snapshots: log.snapshots,
  missingHistory: log.missingHistory,
  restored: log.restored,
  append: (...call) => log.append(...call),
  readStream,
  readAll: (options) => log.readAll(options),
  eventAt: (position) => log.eventAt(position),
  end: () => log.end(),
  subscribe: (options) => log.subscribe(options),
  mark: () => log.mark(),
  rememberNewest: (options) => log.rememberNewest(options),
  findCuts: (signal) => log.findCuts(signal),
  watchCuts: (observer) => log.watchCuts(observer),
  close: () => log.close(),
});

/** Returns the same log, but `readStream` delivers its result `ms` milliseconds later. */
export const slowToAnswer = (log: EventLog, ms: number): EventLog =>
  reading(log, async (...call) => {
    const events = await log.readStream(...call);
    await delay(ms);
    return events;
  });

/**
 * Returns the log with a flaw, which tests must find: on EventStoreDB, a read trusts any node that takes itself for the
 * leader, without proof that the node still leads.
 */
export const unfencedReads = (log: EventLog): EventLog =>
  reading(log, (stream, options) => log.readStream(stream, { ...options, consistency: 'any' }));

/**
 * Returns the log with a flaw, which tests must find: a read returns the result of an equal read that is already
 * running. That result may be older than the request that caused the second read.
 */
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

/**
 * Returns the log with a flaw, which tests must find: the stream of a client is read only once. After that, a
 * subscription adds new events to the cached stream, `ms` milliseconds late.
 */
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

/**
 * Returns the log with a flaw, which tests must find: subscriptions deliver markers (events written to measure the
 * lag), but no other events.
 */
export const subscriptionsWithoutEvents = (log: EventLog): EventLog => ({
  ...reading(log, (...call) => log.readStream(...call)),
  subscribe: async function* (options) {
    for await (const batch of log.subscribe(options)) yield { ...batch, events: [] };
  },
});
