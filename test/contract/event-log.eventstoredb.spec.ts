import { randomUUID } from 'node:crypto';
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client';
import { openEventStoreDbLog } from '#event-log/eventstoredb';
import {
  type EventStore,
  installedProgram,
  STAND_IN_VERSIONS,
  type StandInVersion,
  startEventStore,
} from '../servers/eventstoredb/event-store.js';
import { newEvents } from '../support/events/new-events.js';
import { eventLogContract } from './event-log.js';

/**
 * URL of a real EventStoreDB server, if the environment names such a server. The suite touches only its own streams
 * there.
 */
const realServer = process.env.EVENTSTOREDB_URL;

/** Long, because the machine may be busy. Tests of deadlines give their own, shorter one. */
const DEADLINE_MS = 60_000;

/** Returns a prefix that no other run of the suite has. */
const newPrefix = () => `contract-${randomUUID()}.`;

/** `version`: the version that the stand-in plays. */
function declareContract(name: string, prefix: string, version?: StandInVersion): void {
  let own: EventStore | undefined;
  const serverUrl = async (): Promise<string> =>
    realServer ?? (own ??= await startEventStore({ ...(version && { version }) })).url;
  let foreign: EventStoreDBClient | undefined;

  eventLogContract(name, {
    open: async () => openEventStoreDbLog({ url: await serverUrl(), prefix, deadlineMs: DEADLINE_MS }),
    appendForeign: async (stream, count) => {
      const events = newEvents(count).map(({ eventId, type, data, metadata }) =>
        jsonEvent({ id: eventId, type, data, metadata }),
      );
      foreign ??= EventStoreDBClient.connectionString(await serverUrl());
      await foreign.appendToStream(prefix + stream, events);
    },
    isolated: () => {
      const ownPrefix = newPrefix();
      return Promise.resolve({
        open: async () => openEventStoreDbLog({ url: await serverUrl(), prefix: ownPrefix, deadlineMs: DEADLINE_MS }),
        remove: () => Promise.resolve(),
      });
    },
    ...(!realServer && {
      freeze: () => {
        own?.freeze();
        return Promise.resolve(() => {
          own?.thaw();
          return Promise.resolve();
        });
      },
    }),
    close: async () => {
      await foreign?.dispose();
      await own?.stop();
    },
  });
}

if (realServer !== undefined || installedProgram() !== undefined) {
  declareContract('EventStoreDB', '');
  declareContract('EventStoreDB, with a prefix,', newPrefix());
} else {
  for (const version of STAND_IN_VERSIONS) declareContract(`EventStoreDB's stand-in ${version}`, '', version);
  declareContract("EventStoreDB's stand-in, with a prefix,", newPrefix());
}
