import { randomUUID } from 'node:crypto';
import { EventStoreDBClient } from '@eventstore/db-client';
import { identifyLog, LogIsSealed, LogUnavailable, sealLog } from '#event-log';
import { EventStoreDbLog, openEventStoreDbLog } from '#event-log/eventstoredb';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { stopClocks, suspendedFor } from '../../../test/support/doubles/suspension.js';
import { newEvents } from '../../../test/support/events/new-events.js';
import { idleMs } from '../../../test/support/load/load-meter.js';

let store: EventStore;
beforeEach(async () => {
  store = await startEventStore();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await store.stop();
});

const newStream = () => `consumerClient-cc_${randomUUID()}`;
let clients = 0;

/**
 * Opens a log. For each read of stream `log`, `looks` contains the name of the connection that carried the read. The
 * next append is sent only after the step that was given to `beforeNextAppend`.
 */
const openLog = (fenceMaxAgeMs: number) => {
  const looks: string[] = [];
  let before: (() => Promise<void>) | undefined;
  const log = new EventStoreDbLog({
    createClient: (purpose) => {
      const client = EventStoreDBClient.connectionString(`${store.url}&keepAliveInterval=${30_000 + clients++}`);
      const readStream = client.readStream.bind(client);
      jest.spyOn(client, 'readStream').mockImplementation((stream, ...rest) => {
        if (stream === 'log') looks.push(purpose);
        return readStream(stream, ...rest);
      });
      const appendToStream = client.appendToStream.bind(client);
      jest.spyOn(client, 'appendToStream').mockImplementation(async (...call) => {
        const step = purpose === 'appends' ? before : undefined;
        if (step) before = undefined;
        await step?.();
        return appendToStream(...call);
      });
      return client;
    },
    credentials: { username: 'a', password: 'test' },
    fenceMaxAgeMs,
  });
  return { log, looks, beforeNextAppend: (step: () => Promise<void>) => (before = step) };
};

describe('the check for a seal', () => {
  it('is one strong read for all appends within the maximum age of a fence', async () => {
    const pass = stopClocks();
    const { log, looks } = openLog(1_000);
    await Promise.all(Array.from({ length: 100 }, () => log.append(newStream(), 'none', newEvents(1))));
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toEqual(['strong reads']);
    pass(1_000);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(2);
    await log.close();
  });

  it('begins together with a strong read, so that an append after this read does not wait for it', async () => {
    const { log, looks } = openLog(1_000);
    await log.readStream(newStream(), { consistency: 'strong' });
    expect(looks).toEqual(['strong reads']);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(1);
    await log.close();
  });

  it('is repeated after a suspension of the virtual machine, during which the monotonic clock stands still', async () => {
    const { log, looks } = openLog(60_000);
    await log.append(newStream(), 'none', newEvents(1));
    suspendedFor(4_000);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(2);
    await log.close();
  });

  it('is repeated for each append if the maximum age of a fence is 0', async () => {
    const { log, looks } = openLog(0);
    const others = openEventStoreDbLog({ url: store.url });
    await identifyLog(others, () => new Date());
    for (let append = 0; append < 3; append++) await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(3);
    await sealLog(others, { reason: 'Copied elsewhere', now: () => new Date() });
    await expect(log.append(newStream(), 'none', newEvents(1))).rejects.toThrow(LogIsSealed);
    await Promise.all([log.close(), others.close()]);
  });

  it('acknowledges no append that was sent after a suspension which outlasted the holding of the seal', async () => {
    const { log, looks, beforeNextAppend } = openLog(1_000);
    const others = openEventStoreDbLog({ url: store.url });
    await identifyLog(others, () => new Date());
    await log.append(newStream(), 'none', newEvents(1));
    beforeNextAppend(async () => {
      await sealLog(others, { reason: 'Copied elsewhere', now: () => new Date() });
      suspendedFor(log.sealHoldsAfterMs);
    });
    const stream = newStream();
    const refused = () => expect(log.append(stream, 'none', newEvents(1))).rejects.toThrow(LogUnavailable);
    expect(await idleMs(refused)).toBeLessThan(5_000);
    expect(looks).toHaveLength(1);
    await expect(log.append(stream, 'none', newEvents(1))).rejects.toThrow(LogIsSealed);
    await Promise.all([log.close(), others.close()]);
  });

  it('counts for 4 s at most; after these and the deadline of an append, the seal holds', async () => {
    const pass = stopClocks();
    const { log, looks } = openLog(60_000);
    expect(log.sealHoldsAfterMs).toBe(14_000);
    await log.append(newStream(), 'none', newEvents(1));
    pass(4_000);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(2);
    await log.close();
  });
});
