import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EventStoreDBClient } from '@eventstore/db-client';
import { LogIsSealed, identifyLog, sealLog } from '#event-log';
import { EventStoreDbLog, openEventStoreDbLog } from '#event-log/eventstoredb';
import { type EventStore, startEventStore } from '../../../test/support/eventstoredb/event-store.js';
import { newEvents } from '../../../test/support/events.js';

jest.setTimeout(60_000);

let store: EventStore;
beforeEach(async () => {
  store = await startEventStore();
});
afterEach(() => store.stop());

const newStream = () => `consumerClient-cc_${randomUUID()}`;
let clients = 0;

/** A log, and when it looked at the end of stream `log`, and by which connection. */
const openLog = (fenceMaxAgeMs: number) => {
  const looks: string[] = [];
  const log = new EventStoreDbLog({
    createClient: (purpose) => {
      const client = EventStoreDBClient.connectionString(`${store.url}&keepAliveInterval=${30_000 + clients++}`);
      const readStream = client.readStream.bind(client);
      jest.spyOn(client, 'readStream').mockImplementation((stream, ...rest) => {
        if (stream === 'log') looks.push(purpose);
        return readStream(stream, ...rest);
      });
      return client;
    },
    credentials: { username: 'a', password: 'test' },
    fenceMaxAgeMs,
  });
  return { log, looks };
};

describe('whether the log is sealed', () => {
  it('is looked at by a strong read, once for all appends that come while a fence would be young', async () => {
    const { log, looks } = openLog(1_000);
    await Promise.all(Array.from({ length: 100 }, () => log.append(newStream(), 'none', newEvents(1))));
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toEqual(['strong reads']);
    await delay(1_000);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(2);
    await log.close();
  });

  it('is looked at after each append came, where no fence of an age counts', async () => {
    const { log, looks } = openLog(0);
    const others = openEventStoreDbLog({ url: store.url });
    await identifyLog(others, () => new Date());
    for (let append = 0; append < 3; append++) await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(3);
    await sealLog(others, { reason: 'Copied elsewhere', now: () => new Date() });
    await expect(log.append(newStream(), 'none', newEvents(1))).rejects.toThrow(LogIsSealed);
    await Promise.all([log.close(), others.close()]);
  });

  it('is believed for 4 s at most, and after that and an append’s deadline the seal holds', async () => {
    const { log, looks } = openLog(60_000);
    expect(log.sealHoldsAfterMs).toBe(14_000);
    await log.append(newStream(), 'none', newEvents(1));
    await delay(4_000);
    await log.append(newStream(), 'none', newEvents(1));
    expect(looks).toHaveLength(2);
    await log.close();
  });
});
