import { randomUUID } from 'node:crypto';
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
const server = realServer ? 'EventStoreDB' : "EventStoreDB's stand-in";

/** Returns a prefix that no other run of the suite has. */
const newPrefix = () => `contract-${randomUUID()}.`;

function declareContract(name: string, prefix: string): void {
  let standIn: EventStore | undefined;
  const serverUrl = async (): Promise<string> => realServer ?? (standIn ??= await startEventStore()).url;

  eventLogContract(name, {
    open: async () => openEventStoreDbLog({ url: await serverUrl(), prefix }),
    appendForeign: async (stream, count) => {
      const events = newEvents(count).map(({ eventId, type, data, metadata }) =>
        jsonEvent({ id: eventId, type, data, metadata }),
      );
      const options = { credentials: { username: 'another', password: 'application' } };
      const client = EventStoreDBClient.connectionString(await serverUrl());
      await client.appendToStream(prefix + stream, events, options);
    },
    isolated: () => {
      const ownPrefix = newPrefix();
      return Promise.resolve({
        open: async () => openEventStoreDbLog({ url: await serverUrl(), prefix: ownPrefix }),
        remove: () => Promise.resolve(),
      });
    },
    ...(!realServer && {
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
}

declareContract(server, '');
declareContract(`${server}, with a prefix,`, newPrefix());
