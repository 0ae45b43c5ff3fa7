import { randomUUID } from 'node:crypto';
import type { EventMetadata, NewEvent } from '#events';

const NO_HASH = '0'.repeat(64);

/** Makes an event that a log accepts. The event's content is arbitrary. */
export const newEvent = (given: Partial<NewEvent> = {}): NewEvent => ({
  eventId: randomUUID(),
  type: 'ConsumerClientRenamed',
  data: { name: 'Orders' },
  metadata: metadata(),
  ...given,
});

export const newEvents = (count: number): NewEvent[] =>
  Array.from({ length: count }, (_, index) => newEvent({ data: { name: `Orders ${index}` } }));

const metadata = (): EventMetadata => ({
  schemaVersion: 1,
  occurredAt: '2026-01-01T00:00:00.000Z',
  actor: { subject: 'a-test', roles: ['clients:write'], via: 'http' },
  workspaceId: 'acme',
  correlationId: randomUUID(),
  causationId: randomUUID(),
  commandId: randomUUID(),
  commandHash: NO_HASH,
  previousHash: NO_HASH,
  hash: NO_HASH,
});
