import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { LogUnavailable } from '#event-log';
import { type EventStore, startEventStore } from '../../../test/servers/eventstoredb/event-store.js';
import { Connection, type Link } from './connection.js';
import { Deadline } from './deadline.js';
import { StreamNames } from './stream-names.js';

let store: EventStore;

beforeAll(async () => {
  store = await startEventStore();
});

afterAll(() => store.stop());

const newConnection = () =>
  new Connection(() => EventStoreDBClient.connectionString(store.url), new StreamNames(''), 'EVENTSTOREDB_URL');

/** The driver makes a unary call, as for all our appends, only if the call names an account. */
const credentials = { username: 'admin', password: 'changeit' };

const append = ({ client }: Link) =>
  client.appendToStream('connection', jsonEvent({ type: 'Opened', data: {} }), { credentials });

// The driver's append would throw inside a promise that nobody sees, which ends a process, and would never return.
describe('no append begins on a closed channel', () => {
  test('although the driver closes it when another call has failed', async () => {
    const connection = newConnection();
    try {
      const link = await connection.use(new Deadline(10_000), async (used) => {
        // eslint-disable-next-line @typescript-eslint/dot-notation -- the method is protected
        const channel = await used.client['getChannel']();
        channel.close();
        await append(used);
        return used;
      });
      expect(link.lost.aborted).toBe(true);
      const next = await connection.use(new Deadline(10_000), (used) => append(used).then(() => used));
      expect(next).not.toBe(link);
    } finally {
      connection.close();
    }
  });

  test('although the connection is closed while it is being opened', async () => {
    const connection = newConnection();
    const appended = connection.use(new Deadline(10_000), append);
    connection.close();
    await expect(appended).rejects.toThrow(LogUnavailable);
  });
});
