import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import { type EventStore, startEventStore } from '../servers/eventstoredb/event-store.js';
import { newEvents } from '../support/events/new-events.js';
import { eventLogContract } from './event-log.js';

/**
 * URL of a real EventStoreDB server, if the environment names such a server. The suite touches only its own streams
 * there.
 */
const realServer = process.env.EVENTSTOREDB_URL;

let standIn: EventStore | undefined;
const serverUrl = async (): Promise<string> => realServer ?? (standIn ??= await startEventStore()).url;

eventLogContract(realServer ? 'EventStoreDB' : "EventStoreDB's stand-in", {
  open: async () => openEventStoreDbLog({ url: await serverUrl() }),
  appendForeign: async (stream, count) => {
    const events = newEvents(count).map(({ eventId, type, data, metadata }) =>
      jsonEvent({ id: eventId, type, data, metadata }),
    );
    const options = { credentials: { username: 'another', password: 'application' } };
    await EventStoreDBClient.connectionString(await serverUrl()).appendToStream(stream, events, options);
  },
  ...(!realServer && {
    isolated: async () => {
      const store = await startEventStore();
      return { open: () => Promise.resolve(openEventStoreDbLog({ url: store.url })), remove: () => store.stop() };
    },
    freeze: () => {
      standIn?.freeze();
      return Promise.resolve(() => {
        standIn?.thaw();
        return Promise.resolve();
      });
    },
  }),
  close: async () => {
    await standIn?.stop();
  },
});
