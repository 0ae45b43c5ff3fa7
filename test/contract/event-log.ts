import { randomUUID } from 'node:crypto';
import { getEventListeners } from 'node:events';
import {
  type Appended,
  type EventLog,
  eventsToNow,
  EventTooLarge,
  type ExpectedRevision,
  identifyLog,
  isOurStream,
  isSealed,
  type LogBatch,
  LogIsSealed,
  LogUnavailable,
  LONG_AGO,
  MAX_APPEND_BYTES,
  RevisionConflict,
  sealLog,
  type StreamReadOptions,
  unsealLog,
} from '#event-log';
import { type NewEvent, type Position, type RecordedEvent, verifyChain } from '#events';
import { newEvent, newEvents } from '../support/events/new-events.js';
import { idleMs } from '../support/load/load-meter.js';

/**
 * The store under test. Other tests may use the store at the same time, because the suite looks only at its own
 * streams.
 */
export interface EventLogHarness {
  /** Opens a new connection to the same store, as another process would. */
  open: () => Promise<EventLog>;
  /** Appends events of another application to the same store. */
  appendForeign: (stream: string, count: number) => Promise<void>;
  /**
   * Makes the store stop acknowledging appends. Resolves to a function that makes the store acknowledge appends again.
   * Absent if the store can't be stopped in this way.
   */
  freeze?: () => Promise<() => Promise<void>>;
  /** Creates an empty log that nobody else uses. */
  isolated: () => Promise<IsolatedStore>;
  /** Called after all opened logs have been closed. */
  close: () => Promise<void>;
}

export interface IsolatedStore {
  open: () => Promise<EventLog>;
  /** Called after all opened logs have been closed. */
  remove: () => Promise<void>;
}

/** Declares the tests that every adapter of the `EventLog` port must pass. */
export function eventLogContract(name: string, harness: EventLogHarness): void {
  describe(`${name} keeps the contract of the event log:`, () => {
    let log: EventLog;
    beforeAll(async () => {
      log = await harness.open();
    });
    afterAll(async () => {
      await log.close();
      await harness.close();
    });

    const newStream = () => `consumerClient-cc_${randomUUID()}`;
    const read = (stream: string, options: StreamReadOptions = {}) =>
      log.readStream(stream, { consistency: 'strong', ...options });
    const revisions = (events: readonly RecordedEvent[]) => events.map(({ revision }) => revision);
    const ids = (events: readonly NewEvent[]) => events.map(({ eventId }) => eventId);

    /** Appends `count` events to a new stream. Also returns a log position before these events (`before`). */
    const streamOf = async (count: number) => {
      const before = await log.append(newStream(), 'none', [newEvent()]);
      const stream = newStream();
      const events = newEvents(count);
      const appended = await log.append(stream, 'none', events);
      return { stream, events, appended, before: before.position };
    };

    /**
     * Reads the log from a position on, in pages of `limit` events, until a page contains the event with this id.
     * Returns all events that were read.
     */
    const readLogUntil = async (
      eventId: string,
      after: Position,
      direction: 'forwards' | 'backwards',
      limit?: number,
    ) => {
      const found: RecordedEvent[] = [];
      for (let next = after; ;) {
        const page = await log.readAll({ after: next, direction, ...(limit && { limit }) });
        found.push(...page);
        const last = page.at(-1);
        if (!last || page.some((event) => event.eventId === eventId)) return found;
        next = last.position;
      }
    };

    /**
     * Reads batches of a subscription until `isEnough` accepts a batch. Returns all batches, including the accepted
     * batch.
     */
    const followUntil = async (
      isEnough: (batch: LogBatch) => boolean | Promise<boolean>,
      options: { after?: Position; batchSize?: number; marked?: boolean } = {},
    ) => {
      const batches: LogBatch[] = [];
      for await (const batch of log.subscribe({ signal: new AbortController().signal, ...options })) {
        batches.push(batch);
        if (await isEnough(batch)) break;
      }
      return batches;
    };
    const eventsOf = (batches: readonly LogBatch[], stream: string) =>
      batches.flatMap(({ events }) => events).filter((event) => event.stream === stream);

    describe('an append', () => {
      it('numbers a stream from 0n, and answers the place of its last event', async () => {
        const stream = newStream();
        const first = await log.append(stream, 'none', newEvents(2));
        const second = await log.append(stream, 1n, newEvents(1));
        const third = await log.append(stream, 'exists', newEvents(1));
        const events = await read(stream);
        expect(revisions(events)).toEqual([0n, 1n, 2n, 3n]);
        expect([first, second, third]).toEqual(
          [1, 2, 3].map((index) => ({ revision: BigInt(index), position: events[index]?.position })),
        );
      });

      it('is read back exactly as it was written', async () => {
        const stream = newStream();
        const events = newEvents(3);
        const { position } = await log.append(stream, 'none', events);
        const stored = await read(stream);
        expect(stored).toEqual(
          events.map((event, index) => ({
            ...event,
            stream,
            revision: BigInt(index),
            position: expect.any(String) as string,
          })),
        );
        const positions = stored.map((event) => event.position);
        expect(positions).toEqual([...new Set(positions)].sort());
        expect(positions.at(-1)).toBe(position);
      });

      it.each<[ExpectedRevision, number, bigint | undefined]>([
        ['none', 2, 1n],
        ['exists', 0, undefined],
        [0n, 0, undefined],
        [3n, 0, undefined],
        [0n, 2, 1n],
        [9n, 2, 1n],
      ])(
        'that expects %p is refused by a stream of %p events, whose revision is %p',
        async (expected, count, actual) => {
          const stream = newStream();
          if (count > 0) await log.append(stream, 'none', newEvents(count));
          const refusal = await refusalOf(log.append(stream, expected, newEvents(2)));
          expect(refusal).toBeInstanceOf(RevisionConflict);
          expect(refusal).toMatchObject({ stream, expected, actual });
          expect(await read(stream)).toHaveLength(count);
        },
      );

      it('excludes others: of 20 at the same revision, exactly one is written', async () => {
        const { stream } = await streamOf(1);
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, () => log.append(stream, 0n, newEvents(2))),
        );
        const refusals = outcomes.flatMap((outcome) =>
          outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
        );
        expect(refusals).toHaveLength(19);
        for (const refusal of refusals) {
          expect(refusal).toBeInstanceOf(RevisionConflict);
          expect(refusal).toMatchObject({ actual: 2n });
        }
        expect(revisions(await read(stream))).toEqual([0n, 1n, 2n]);
      });

      it('does not hold up the others that were sent with it when it is refused', async () => {
        const { stream } = await streamOf(1);
        const streams = Array.from({ length: 20 }, newStream);
        const [refused, ...others] = await Promise.allSettled([
          log.append(stream, 'none', newEvents(1)),
          ...streams.map((other) => log.append(other, 'none', newEvents(1))),
        ]);
        expect(refused.status).toBe('rejected');
        expect(others.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
        for (const other of streams) expect(await read(other)).toHaveLength(1);
      });

      it('that is invalid is a TypeError, and the next one succeeds', async () => {
        const stream = newStream();
        await expect(log.append('', 'none', newEvents(1))).rejects.toThrow(TypeError);
        await expect(log.append(stream, 'none', [])).rejects.toThrow(TypeError);
        await expect(log.append(stream, -1n, newEvents(1))).rejects.toThrow(TypeError);
        await expect(log.append(stream, 'none', [newEvent({ eventId: 'one' })])).rejects.toThrow(TypeError);
        await expect(log.append(stream, 'none', [newEvent({ type: '' })])).rejects.toThrow(TypeError);
        await expect(log.append(stream, 'none', [newEvent({ data: { count: 1n } })])).rejects.toThrow(TypeError);
        expect((await log.append(stream, 'none', newEvents(1))).revision).toBe(0n);
      });
    });

    describe('the same append sent again', () => {
      const stream = newStream();
      const [a, b, d, unknown] = [newEvent(), newEvent(), newEvent(), newEvent()];
      const fifty = newEvents(50);
      const last = fifty.at(-1) ?? unknown;
      beforeAll(async () => {
        const first = await log.append(stream, 'none', [a, b]);
        expect(await log.append(stream, 'none', [a, b])).toEqual(first);
        await log.append(stream, 1n, [d]);
        await log.append(stream, 2n, fifty);
      });
      const expectUntouched = async () => {
        expect(ids(await read(stream))).toEqual(ids([a, b, d, ...fifty]));
      };

      it.each<[string, NewEvent[], ExpectedRevision, bigint]>([
        ['whole', [a, b], 'none', 1n],
        ['its first part', [a], 'none', 0n],
        ['its last part, where that begins', [b], 0n, 1n],
        ['one event, others behind it', [d], 1n, 2n],
        ['one event that only asked for a stream', [d], 'exists', 2n],
        ['several events that only asked for a stream', [a, b], 'exists', 1n],
        ['all fifty', fifty, 2n, 52n],
      ])('gets the same answer again: %s', async (_, events, expected, revision) => {
        const [recorded] = await read(stream, { from: revision, limit: 1 });
        expect(await log.append(stream, expected, events)).toEqual({ revision, position: recorded?.position });
        await expectUntouched();
      });

      it.each<[string, NewEvent[], ExpectedRevision]>([
        ['its last part from the start', [b], 'none'],
        ['in another order', [b, a], 'none'],
        ['with one more event', [a, b, unknown], 'none'],
        ['known and new, at the revision before', [last, unknown], 51n],
        ['known and new, any revision', [last, unknown], 'exists'],
      ])('is refused if it differs: %s', async (_, events, expected) => {
        const refusal = await refusalOf(log.append(stream, expected, events));
        expect(refusal).toBeInstanceOf(RevisionConflict);
        expect(refusal).toMatchObject({ stream, expected, actual: 52n });
        await expectUntouched();
      });

      it('is recognized by its event ids alone: other data with the same ids is not written', async () => {
        const other = { ...a, type: 'ConsumerClientRevoked', data: { reason: 'other' } };
        expect((await log.append(stream, 'none', [other])).revision).toBe(0n);
        expect(await read(stream, { limit: 1 })).toMatchObject([{ type: a.type, data: a.data }]);
      });

      it('is written once when it is sent five times at once', async () => {
        const racing = newStream();
        const events = newEvents(3);
        const answers = await Promise.all(Array.from({ length: 5 }, () => log.append(racing, 'none', events)));
        expect(new Set(answers.map(({ revision, position }) => `${revision} ${position}`)).size).toBe(1);
        expect(ids(await read(racing))).toEqual(ids(events));
      });

      it('is a new append in another stream, and ids may repeat within an append', async () => {
        const elsewhere = newStream();
        expect((await log.append(elsewhere, 'none', [a, a])).revision).toBe(1n);
        expect(ids(await read(elsewhere))).toEqual(ids([a, a]));
      });

      it('is recognized even if the case of its ids differs', async () => {
        const shouting = newStream();
        const event = newEvent();
        const loud = { ...event, eventId: event.eventId.toUpperCase() };
        const first = await log.append(shouting, 'none', [loud]);
        expect(await log.append(shouting, 'none', [event])).toEqual(first);
        expect(await log.append(shouting, 'none', [loud])).toEqual(first);
        expect(ids(await read(shouting))).toEqual([event.eventId]);
      });
    });

    describe('a stream', () => {
      it('that is missing is empty', async () => {
        expect(await read(newStream())).toEqual([]);
        expect(await read(newStream(), { direction: 'backwards' })).toEqual([]);
        expect(await log.readStream(newStream())).toEqual([]);
      });

      it('is read in both directions, from any revision, up to a limit', async () => {
        const { stream } = await streamOf(5);
        const revisionsRead = async (options: StreamReadOptions) => revisions(await read(stream, options));
        expect(await revisionsRead({})).toEqual([0n, 1n, 2n, 3n, 4n]);
        expect(await revisionsRead({ from: 2n })).toEqual([2n, 3n, 4n]);
        expect(await revisionsRead({ from: 1n, limit: 2 })).toEqual([1n, 2n]);
        expect(await revisionsRead({ limit: 0 })).toEqual([]);
        expect(await revisionsRead({ direction: 'backwards' })).toEqual([4n, 3n, 2n, 1n, 0n]);
        expect(await revisionsRead({ direction: 'backwards', limit: 1 })).toEqual([4n]);
        expect(await revisionsRead({ direction: 'backwards', from: 2n })).toEqual([2n, 1n, 0n]);
        expect(await revisionsRead({ direction: 'backwards', from: 0n, limit: 3 })).toEqual([0n]);
      });

      it('read forwards from past its end is empty, read backwards from there is whole', async () => {
        const { stream } = await streamOf(3);
        expect(await read(stream, { from: 3n })).toEqual([]);
        expect(await read(stream, { from: 1_000n })).toEqual([]);
        expect(revisions(await read(stream, { from: 100n, direction: 'backwards' }))).toEqual([2n, 1n, 0n]);
      });

      it('of 3,000 events is read whole, in both directions', async () => {
        const stream = newStream();
        let expected: ExpectedRevision = 'none';
        for (let sent = 0; sent < 3_000; sent += 500) {
          expected = (await log.append(stream, expected, newEvents(500))).revision;
        }
        const all = Array.from({ length: 3_000 }, (_, index) => BigInt(index));
        expect(revisions(await read(stream))).toEqual(all);
        expect(revisions(await read(stream, { direction: 'backwards' }))).toEqual(all.reverse());
      });

      it('shows every process all events that were acknowledged before its request', async () => {
        const other = await harness.open();
        try {
          const stream = newStream();
          for (let revision = 0n; revision < 20n; revision++) {
            await log.append(stream, revision === 0n ? 'none' : revision - 1n, newEvents(1));
            const seen = await other.readStream(stream, { from: revision, consistency: 'strong' });
            expect(revisions(seen)).toEqual([revision]);
            const [end] = await other.readAll({ direction: 'backwards', limit: 1, consistency: 'strong' });
            expect((end?.position ?? '') >= (seen[0]?.position ?? 'none')).toBe(true);
          }
          expect(await refusalOf(other.append(stream, 'none', newEvents(1)))).toMatchObject({ actual: 19n });
        } finally {
          await other.close();
        }
      });
    });

    describe('the whole log', () => {
      it('is in the order of the appends, read forwards after a position', async () => {
        const one = await streamOf(3);
        const two = await streamOf(2);
        for (const limit of [undefined, 2]) {
          const found = await readLogUntil(two.events[1]?.eventId ?? '', one.before, 'forwards', limit);
          const ours = found.filter(({ stream }) => stream === one.stream || stream === two.stream);
          expect(ids(ours)).toEqual(ids([...one.events, ...two.events]));
          const positions = found.map(({ position }) => position);
          expect(positions).toEqual([...new Set(positions)].sort());
        }
        expect(await log.readAll({ limit: 0 })).toEqual([]);
        const after = await log.readAll({ after: one.appended.position, limit: 1 });
        expect(after).toHaveLength(1);
        expect(after[0]?.stream).not.toBe(one.stream);
      });

      it('read backwards before a position is the same in reverse', async () => {
        const { stream, events, appended, before } = await streamOf(4);
        for (const limit of [undefined, 1]) {
          const found = await readLogUntil(events[0]?.eventId ?? '', appended.position, 'backwards', limit);
          const ours = found.filter((event) => event.stream === stream);
          expect(ids(ours)).toEqual(ids(events.slice(0, 3).reverse()));
        }
        const atEnd = await log.readAll({ direction: 'backwards', limit: 1 });
        expect(atEnd).toHaveLength(1);
        expect((atEnd[0]?.position ?? '') >= appended.position).toBe(true);
        expect(appended.position > before).toBe(true);
      });

      it('has one event at its position, and none at any other place', async () => {
        const { stream, events, appended, before } = await streamOf(2);
        const [first] = await read(stream);
        expect(await log.eventAt(first?.position ?? '')).toMatchObject({ eventId: events[0]?.eventId, revision: 0n });
        expect(await log.eventAt(appended.position)).toMatchObject({ eventId: events[1]?.eventId, stream });
        const past = String(BigInt(appended.position) + 10n ** 9n).padStart(appended.position.length, '0');
        expect(await log.eventAt(past)).toBeUndefined();
        const foreign = `billing-${randomUUID()}`;
        await harness.appendForeign(foreign, 1);
        const end = (await log.end()) ?? '';
        expect(end > appended.position && appended.position > before).toBe(true);
        const behind = await streamOf(1);
        // `end` may be the position of another application's event. A subscription can begin there, too.
        const after = await followUntil(({ caughtUp }) => caughtUp, { after: end });
        expect(ids(eventsOf(after, behind.stream))).toEqual(ids(behind.events));
        expect(eventsOf(after, stream)).toEqual([]);
        const found = await log.eventAt(end);
        expect(found === undefined || isOurStream(found.stream)).toBe(true);
      });

      it('is read up to now and no further, past the events of other writers', async () => {
        const { stream, events, before } = await streamOf(3);
        await harness.appendForeign(`billing-${randomUUID()}`, 1_000);
        const other = await harness.open();
        const last = newEvents(2);
        try {
          await other.append(newStream(), 'none', last);
        } finally {
          await other.close();
        }
        const found: RecordedEvent[] = [];
        for await (const event of eventsToNow(log, { after: before })) found.push(event);
        expect(ids(found.filter((event) => event.stream === stream))).toEqual(ids(events));
        expect(ids(found)).toEqual(expect.arrayContaining(ids(last)));
        expect(found.every((event) => isOurStream(event.stream))).toBe(true);
        const stop = new AbortController();
        const reason = new Error('Enough');
        const stopped = (async () => {
          for await (const { stream: seen } of eventsToNow(log, { signal: stop.signal })) if (seen) stop.abort(reason);
        })();
        await expect(stopped).rejects.toBe(reason);
      });

      it('does not show the streams of other applications, however many events they have', async () => {
        const first = await streamOf(1);
        const foreign = [`billing-${randomUUID()}`, `log-${randomUUID()}`, `consumerClients-${randomUUID()}`];
        for (const stream of foreign) await harness.appendForeign(stream, 1_000);
        const second = await streamOf(1);
        const lastId = second.events[0]?.eventId ?? '';

        for (const limit of [undefined, 1]) {
          const forwards = await readLogUntil(lastId, first.appended.position, 'forwards', limit);
          expect(forwards.some(({ eventId }) => eventId === lastId)).toBe(true);
          expect(forwards.filter(({ stream }) => !isOurStream(stream))).toEqual([]);
        }
        const backwards = await readLogUntil(first.events[0]?.eventId ?? '', second.appended.position, 'backwards');
        expect(backwards.some(({ stream }) => stream === first.stream)).toBe(true);
        expect(backwards.filter(({ stream }) => !isOurStream(stream))).toEqual([]);

        const followed = await followUntil(({ events }) => events.some(({ eventId }) => eventId === lastId), {
          after: first.appended.position,
        });
        expect(followed.flatMap(({ events }) => events).filter(({ stream }) => !isOurStream(stream))).toEqual([]);
      });
    });

    describe('a subscription', () => {
      it('begins at the start of the log', async () => {
        const { stream, events, appended } = await streamOf(3);
        const batches = await followUntil((batch) => (batch.events.at(-1)?.position ?? '') >= appended.position);
        expect(ids(eventsOf(batches, stream))).toEqual(ids(events));
      });

      it('delivers all existing events in bounded batches, then says that it has caught up', async () => {
        const { stream, events, before } = await streamOf(25);
        const batches = await followUntil(({ caughtUp }) => caughtUp, { after: before, batchSize: 10 });
        expect(ids(eventsOf(batches, stream))).toEqual(ids(events));
        for (const batch of batches) {
          expect(batch.events.length).toBeLessThanOrEqual(10);
          expect(batch.events.length > 0 || batch.caughtUp).toBe(true);
        }
      });

      it('that starts at the end of the log says that it has caught up, and delivers later appends', async () => {
        const { appended: end } = await streamOf(1);
        const stream = newStream();
        const events = newEvents(3);
        let appending: Promise<Appended> | undefined;
        const batches = await followUntil(
          (batch) => {
            if (batch.caughtUp) appending ??= log.append(stream, 'none', events);
            return batch.events.some(({ eventId }) => eventId === events[2]?.eventId);
          },
          { after: end.position },
        );
        await appending;
        expect(ids(eventsOf(batches, stream))).toEqual(ids(events));
      });

      it('reports by markers how far it is complete, but only if asked to', async () => {
        const { appended: end } = await streamOf(1);
        const stream = newStream();
        const events = newEvents(2);
        let acknowledgedAt = Infinity;
        let marking: Promise<void> | undefined;
        const appendAndMark = async () => {
          await log.append(stream, 'none', events);
          acknowledgedAt = performance.now();
          await log.mark();
        };
        const batches = await followUntil(
          ({ caughtUp, completeTo = LONG_AGO }) => {
            if (caughtUp) marking ??= appendAndMark();
            return completeTo.monotonic >= acknowledgedAt;
          },
          { after: end.position, marked: true },
        );
        await marking;
        // A marker is a signal that proves how current a subscription is. All events that were acknowledged before the
        // marker are delivered before the marker or together with it.
        expect(ids(eventsOf(batches, stream))).toEqual(ids(events));
        expect(batches.flatMap((batch) => batch.events).filter((event) => !isOurStream(event.stream))).toEqual([]);
        const unmarked = await followUntil(({ caughtUp }) => caughtUp, { after: end.position });
        expect(unmarked.filter(({ completeTo }) => completeTo !== undefined)).toEqual([]);
      });

      it('delivers the live appends of many callers in order, each once', async () => {
        const { appended: end } = await streamOf(1);
        const streams = Array.from({ length: 20 }, newStream);
        const seen: RecordedEvent[] = [];
        let appending: Promise<unknown> | undefined;
        await followUntil(
          ({ caughtUp, events }) => {
            if (caughtUp) {
              appending ??= Promise.all(
                streams.map(async (stream) => {
                  await log.append(stream, 'none', newEvents(2));
                  await log.append(stream, 1n, newEvents(3));
                }),
              );
            }
            seen.push(...events.filter(({ stream }) => streams.includes(stream)));
            return seen.length >= 100;
          },
          { after: end.position, batchSize: 7 },
        );
        await appending;
        expect(seen.map(({ position }) => position)).toEqual([...new Set(seen.map(({ position }) => position))].sort());
        for (const stream of streams) {
          expect(revisions(seen.filter((event) => event.stream === stream))).toEqual([0n, 1n, 2n, 3n, 4n]);
        }
      });

      it('continues after the last handled position with exactly the later events', async () => {
        const { stream, events, before } = await streamOf(20);
        let handled = before;
        const seen: string[] = [];
        while (seen.length < 20) {
          const [batch] = await followUntil((next) => next.events.length > 0, { after: handled, batchSize: 6 });
          for (const event of batch?.events ?? []) {
            handled = event.position;
            if (event.stream === stream) seen.push(event.eventId);
          }
        }
        expect(seen).toEqual(ids(events));
      });

      it('ends when its signal aborts, whether it waits or not', async () => {
        const { appended: end } = await streamOf(1);
        const controller = new AbortController();
        const iterator = log.subscribe({ after: end.position, signal: controller.signal })[Symbol.asyncIterator]();
        for (let next = await iterator.next(); !next.done && !next.value.caughtUp;) next = await iterator.next();
        const ended = (async () => {
          for (;;) if ((await iterator.next()).done) return true;
        })();
        controller.abort();
        expect(await ended).toBe(true);
        expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);

        const unwanted = log.subscribe({ signal: AbortSignal.abort() })[Symbol.asyncIterator]();
        expect((await unwanted.next()).done).toBe(true);
      });

      it('can be left at any time by break or by an error, and cleans up', async () => {
        const { stream, before } = await streamOf(20);
        const { signal } = new AbortController();
        const leave = async (how: 'break' | 'throw') => {
          for await (const batch of log.subscribe({ after: before, signal, batchSize: 1 })) {
            if (batch.events.length === 0) continue;
            if (how === 'throw') throw new Error('left');
            break;
          }
        };
        for (let round = 0; round < 75; round++) {
          await leave('break');
          await expect(leave('throw')).rejects.toThrow('left');
        }
        expect(getEventListeners(signal, 'abort')).toHaveLength(0);
        expect((await log.append(stream, 19n, newEvents(1))).revision).toBe(20n);
        expect(await read(stream)).toHaveLength(21);
      });
    });

    describe('a payload', () => {
      const filler = (bytes: number) => newEvent({ data: { text: 'x'.repeat(bytes) } });

      it('just under the limit passes', async () => {
        const stream = newStream();
        const event = filler(MAX_APPEND_BYTES - 2_048);
        await log.append(stream, 'none', [event]);
        expect((await read(stream))[0]?.data).toEqual(event.data);
      });

      it('over the limit is refused, also if several events exceed it together, and nothing is written', async () => {
        const stream = newStream();
        const tooLarge = await refusalOf(log.append(stream, 'none', [filler(MAX_APPEND_BYTES + 1)]));
        expect(tooLarge).toBeInstanceOf(EventTooLarge);
        expect((tooLarge as EventTooLarge).bytes).toBeGreaterThan(MAX_APPEND_BYTES);
        const sum = log.append(stream, 'none', [filler(400_000), filler(400_000), filler(400_000)]);
        expect(await refusalOf(sum)).toBeInstanceOf(EventTooLarge);
        const wide = log.append(stream, 'none', [newEvent({ data: { text: '€'.repeat(400_000) } })]);
        expect(await refusalOf(wide)).toBeInstanceOf(EventTooLarge);
        expect(await read(stream)).toEqual([]);
      });

      it.each([
        ['letters of all kinds', '{"text":"Zoë Ωμέγα 東京 عربى 👩‍👩‍👧‍👦 \\ud83d\\ude00 e\\u0301"}'],
        [
          'control characters and quotes',
          '{"text":"\\u0000\\u0001\\u001f\\u2028\\u2029\\ufeff \\"\\\\\'`","tab":"\\t\\r\\n"}',
        ],
        ['empty things', '{"":"","object":{},"array":[],"null":null}'],
        ['the names of prototypes', '{"__proto__":{"admin":true},"constructor":{"prototype":1},"toString":"no"}'],
        [
          'numbers up to their limits',
          '{"max":9007199254740991,"min":-9007199254740991,"tiny":5e-324,"half":0.5,"zero":0}',
        ],
        ['truths and nulls', '{"list":[true,false,null,[null]]}'],
        ['a thousand levels', `{"deep":${'['.repeat(1_000)}${']'.repeat(1_000)}}`],
        [
          'a thousand keys',
          JSON.stringify(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key ${i}`, i]))),
        ],
      ])('with %s comes back as it was', async (_, json) => {
        const stream = newStream();
        const data = JSON.parse(json) as NewEvent['data'];
        await log.append(stream, 'none', [newEvent({ data })]);
        const [event] = await read(stream);
        expect(JSON.stringify(event?.data)).toBe(JSON.stringify(data));
        expect(Object.keys(event?.data ?? {})).toEqual(Object.keys(data));
      });
    });

    const { freeze } = harness;
    (freeze ? describe : describe.skip)('a store that does not answer', () => {
      it('is unavailable at the deadline, and the append may be sent again', async () => {
        const stream = newStream();
        const events = newEvents(2);
        const thaw = await freeze?.();
        const appendInVain = async () => {
          const refusal = await refusalOf(log.append(stream, 'none', events, { deadlineMs: 300 }));
          expect(refusal).toBeInstanceOf(LogUnavailable);
        };
        try {
          expect(await idleMs(appendInVain)).toBeLessThan(2_000);
        } finally {
          await thaw?.();
        }
        expect((await log.append(stream, 'none', events)).revision).toBe(1n);
        expect(ids(await read(stream))).toEqual(ids(events));
      });
    });

    describe('a seal', () => {
      const now = () => new Date();
      const reason = 'Copied elsewhere';

      let store: IsolatedStore;
      let one: EventLog;
      let other: EventLog;
      beforeEach(async () => {
        store = await harness.isolated();
        [one, other] = [await store.open(), await store.open()];
        await identifyLog(one, now);
      });
      afterEach(async () => {
        await Promise.all([one.close(), other.close()]);
        await store.remove();
      });

      /**
       * Appends to new streams until the log refuses an append because the log is sealed (closed to appends, since it
       * is moved to another store). Returns the streams whose appends were acknowledged.
       */
      const appendUntilSealed = async (to: EventLog) => {
        const acknowledged: { stream: string; at: number }[] = [];
        for (;;) {
          const stream = newStream();
          try {
            await to.append(stream, 'none', newEvents(1));
            acknowledged.push({ stream, at: performance.now() });
          } catch (error) {
            expect(error).toBeInstanceOf(LogIsSealed);
            expect(error).toBeInstanceOf(LogUnavailable);
            return acknowledged;
          }
        }
      };

      it('ends the appends of every process, and every event acknowledged before is in the log', async () => {
        const appending = Promise.all([one, other, one, other].map(appendUntilSealed));
        expect(await sealLog(one, { reason, now })).toBe(true);
        const sealedAt = performance.now();
        const acknowledged = (await appending).flat();
        const written = new Set<string>();
        for await (const { stream } of eventsToNow(other)) written.add(stream);
        for (const { stream, at } of acknowledged) {
          expect(written).toContain(stream);
          expect(at).toBeLessThanOrEqual(sealedAt + Math.max(one.sealHoldsAfterMs, 1_000));
        }
        expect(await sealLog(other, { reason, now })).toBe(false);
        expect(await isSealed(other)).toBe(true);
      });

      it('also refuses a repeated append, allows reads, and holds for processes that open the log later', async () => {
        const stream = newStream();
        const events = newEvents(2);
        await one.append(stream, 'none', events);
        await sealLog(other, { reason, now });
        await appendUntilSealed(one);
        const late = await store.open();
        try {
          for (const log of [one, late]) {
            expect(await refusalOf(log.append(stream, 'none', events))).toBeInstanceOf(LogIsSealed);
            expect(await refusalOf(log.append(stream, 1n, newEvents(1)))).toBeInstanceOf(LogIsSealed);
            expect(await refusalOf(log.append(stream, 0n, newEvents(1)))).toBeInstanceOf(LogIsSealed);
            expect(ids(await log.readStream(stream, { consistency: 'strong' }))).toEqual(ids(events));
          }
        } finally {
          await late.close();
        }
      });

      it('can be lifted for all, and stream `log` records both in its hash chain', async () => {
        await sealLog(one, { reason, now });
        await appendUntilSealed(other);
        expect(await unsealLog(one, { reason: 'The copy was given up', now })).toBe(true);
        expect(await unsealLog(one, { reason: 'The copy was given up', now })).toBe(false);
        const late = await store.open();
        try {
          expect((await late.append(newStream(), 'none', newEvents(1))).revision).toBe(0n);
        } finally {
          await late.close();
        }
        for (let isOver = false; !isOver;) {
          isOver = await other.append(newStream(), 'none', newEvents(1)).then(
            () => true,
            () => false,
          );
        }
        const marks = await one.readStream('log', { consistency: 'strong' });
        expect(marks.map(({ type }) => type)).toEqual(['LogCreated', 'LogSealed', 'LogUnsealed']);
        expect(await verifyChain('log', marks)).toMatchObject({ whole: true });
      });
    });

    describe('closing', () => {
      it('finishes accepted appends, and the log is unavailable from then on', async () => {
        const other = await harness.open();
        const streams = Array.from({ length: 30 }, newStream);
        const accepted = streams.map((stream) => other.append(stream, 'none', newEvents(1)));
        await Promise.all([other.close(), other.close()]);
        await Promise.all(accepted);
        for (const stream of streams) expect(await read(stream)).toHaveLength(1);
        expect(await refusalOf(other.append(newStream(), 'none', newEvents(1)))).toBeInstanceOf(LogUnavailable);
        expect(await refusalOf(other.readStream(newStream()))).toBeInstanceOf(LogUnavailable);
        expect(await refusalOf(other.readAll())).toBeInstanceOf(LogUnavailable);
      });

      it('ends a waiting subscription with an error', async () => {
        const { appended: end } = await streamOf(1);
        const other = await harness.open();
        let closing: Promise<void> | undefined;
        const following = (async () => {
          const { signal } = new AbortController();
          for await (const { caughtUp } of other.subscribe({ after: end.position, signal })) {
            if (caughtUp) closing ??= other.close();
          }
        })();
        expect(await refusalOf(following)).toBeInstanceOf(LogUnavailable);
        await closing;
      });
    });
  });
}

/** Returns the error with which the promise is rejected. */
const refusalOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It was not refused');
};
