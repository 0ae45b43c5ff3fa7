import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FollowedEvent } from '#event-log';
import type { Projection } from '#read-models';
import { ExpectedDocuments } from './expected-documents.js';

interface Note {
  readonly events: readonly string[];
}

/** One document per stream. The document holds the ids of the stream's events. */
const notes: Projection<Note> = {
  name: 'notes',
  version: 1,
  streams: ['consumerClient-'],
  indexes: [],
  documentsOf: ({ stream }) => [stream],
  streamOf: (id) => id,
  apply: (note, { eventId }) => ({ events: [...(note?.events ?? []), eventId] }),
};

const positionOf = (n: number): string => String(n).padStart(20, '0');

const eventOf = (n: number, stream: string, revision: bigint): FollowedEvent =>
  ({ stream, revision, position: positionOf(n), eventId: `event ${n}` }) as unknown as FollowedEvent;

const checkpointAt = (n: number) => ({ logId: 'log', position: positionOf(n), eventId: `event ${n}` });

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const heapAfterCollection = (): number => {
  collectGarbage();
  return process.memoryUsage().heapUsed;
};

describe('the documents that the log makes', () => {
  it('are counted and sampled in the same memory, however many they are', () => {
    const expected = new ExpectedDocuments(notes);
    const add = (from: number, to: number) => {
      for (let n = from; n < to; n++) expected.add(eventOf(n, `note-${n}`, 0n));
    };
    add(1, 10_001);
    const before = heapAfterCollection();
    add(10_001, 300_001);
    expect(heapAfterCollection() - before).toBeLessThan(2_000_000);
    expect(expected.count).toBe(300_000);
    expect(expected.sampled.size).toBeGreaterThanOrEqual(1_000);
    expect(expected.sampled.size).toBeLessThan(2_000);
  });

  it('in the sample hold all their events', () => {
    const expected = new ExpectedDocuments(notes);
    const streams = 5_300;
    for (let n = 0; n < 3 * streams; n++) {
      expected.add(eventOf(n, `note-${n % streams}`, BigInt(Math.floor(n / streams))));
    }
    expect(expected.count).toBe(streams);
    for (const [id, document] of expected.sampled) {
      const places = [0, 1, 2].map((time) => time * streams + Number(id.slice('note-'.length)));
      const events = places.map((n) => `event ${n}`);
      expect(document).toEqual({ id, position: positionOf(places[2] ?? 0), revision: 2n, doc: { events } });
    }
  });

  it('leave out a batch that does not continue the others', () => {
    const expected = new ExpectedDocuments(notes);
    const feed = (from: number, after: number | undefined) => {
      const events = [0, 1, 2].map((n) => eventOf(from + n, `note-${from + n}`, 0n));
      expected.batchWritten(events, after === undefined ? undefined : checkpointAt(after));
    };
    feed(1, undefined);
    expect(expected.position).toBeUndefined();
    expected.checkpointStored(checkpointAt(3));
    expect([expected.position, expected.count]).toEqual([positionOf(3), 3]);

    // Another process has fed the events 4 to 6.
    feed(7, 6);
    expected.checkpointStored(checkpointAt(9));
    expect([expected.position, expected.count]).toEqual([positionOf(3), 3]);

    // The checkpoint of the first of these batches could not be stored, so the batch came again.
    feed(4, 3);
    feed(4, 3);
    expected.checkpointStored(checkpointAt(6));
    expect([expected.position, expected.count]).toEqual([positionOf(6), 6]);

    // A batch may have events of other streams only.
    expected.batchWritten([], checkpointAt(6));
    expected.checkpointStored(checkpointAt(12));
    expect([expected.position, expected.count]).toEqual([positionOf(12), 6]);
  });
});
