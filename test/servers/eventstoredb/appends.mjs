import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers';
import { metastreamOf, SOFT_DELETED } from './store.mjs';

/** Returns the current time in ticks of 100 ns since 1970, the server's unit of time. */
const ticksNow = () => `${BigInt(Date.now()) * 10_000n}`;

const recorded = (stream, revision, { id, type, contentType, data, metadata }) => ({
  stream,
  revision,
  id,
  type,
  contentType,
  created: ticksNow(),
  data,
  metadata,
});

const settingsEvent = (stream, revision, settings) =>
  recorded(metastreamOf(stream), revision, {
    id: randomUUID(),
    type: '$metadata',
    contentType: 'application/json',
    data: Buffer.from(settings),
    metadata: Buffer.alloc(0),
  });

/**
 * Makes the outcome of an append. Its `kind` is `written`, `known` (the events had been written before), `conflict` or
 * `deleted`.
 */
const outcome = (kind, facts) => ({ kind, ...facts });

/** Carries out appends one after another. Each append is decided on the log's latest state and then written. */
export class Appends {
  waiting = [];

  constructor(log, store) {
    this.log = log;
    this.store = store;
  }

  /**
   * Resolves with the append's outcome when the append is committed. Resolves with undefined if the caller gave up
   * before the append was decided. `expected` is 'any', 'no_stream', 'stream_exists' or a revision.
   */
  async append(stream, expected, events, isGivenUp) {
    return this.decideInOrder(isGivenUp, () => this.decide(stream, expected, events));
  }

  /** Hides the stream's events. The revisions of a later append continue those of the hidden events. */
  async deleteSoftly(stream, expected, isGivenUp) {
    return this.decideInOrder(isGivenUp, () => {
      const refused = this.refusal(stream, expected);
      if (refused) return refused;
      return this.write([settingsEvent(stream, this.nextRevision(metastreamOf(stream)), `{"$tb":${SOFT_DELETED}}`)]);
    });
  }

  /** Deletes the stream for ever. */
  async tombstone(stream, expected, isGivenUp) {
    return this.decideInOrder(isGivenUp, () => {
      const refused = this.refusal(stream, expected);
      if (refused) return refused;
      const event = { id: randomUUID(), type: '$streamDeleted', contentType: 'application/octet-stream' };
      const bytes = { data: Buffer.alloc(0), metadata: Buffer.alloc(0) };
      return this.write([
        { ...recorded(stream, this.nextRevision(stream), { ...event, ...bytes }), isTombstone: true },
      ]);
    });
  }

  /** Writes the events that are in the log of a new server before the first append. */
  describeServer() {
    const stream = '$stats-127.0.0.1:2113';
    const statistics = { id: randomUUID(), type: '$statsCollected', contentType: 'application/json' };
    const bytes = { data: Buffer.from('{"es-queue-count":0}'), metadata: Buffer.alloc(0) };
    this.log.append([settingsEvent(stream, 0, '{"$maxAge":86400}'), recorded(stream, 0, { ...statistics, ...bytes })]);
  }

  /**
   * Calls `decide` only after the sockets have been read. So an append is not written if the caller's cancellation has
   * arrived by then.
   */
  async decideInOrder(isGivenUp, decide) {
    const decided = await new Promise((resolve) => {
      if (this.waiting.length === 0) setImmediate(() => this.runQueue());
      this.waiting.push(() => resolve(isGivenUp() ? undefined : decide()));
    });
    if (decided?.end !== undefined) await this.store.untilCommitted(decided.end);
    return decided;
  }

  runQueue() {
    const queue = this.waiting;
    this.waiting = [];
    for (const run of queue) run();
  }

  nextRevision(stream) {
    return this.store.stream(stream, Infinity).lastRevision + 1;
  }

  refusal(stream, expected) {
    const { isTombstoned, isSoftDeleted, lastRevision } = this.store.stream(stream, Infinity);
    if (isTombstoned) return outcome('deleted');
    if (expected === 'any') return undefined;
    const isMet =
      expected === 'stream_exists'
        ? lastRevision >= 0 && !isSoftDeleted
        : expected === 'no_stream'
          ? lastRevision === -1 || isSoftDeleted
          : expected === lastRevision;
    return isMet ? undefined : outcome('conflict', { actual: lastRevision });
  }

  decide(stream, expected, events) {
    const state = this.store.stream(stream, Infinity);
    if (state.isTombstoned) return outcome('deleted');
    const known = this.known(stream, expected, events);
    if (known.length > 0 && known.length === events.length) return outcome('known', placeOf(known.at(-1)));
    if (known.length > 0) return outcome('conflict', { actual: state.lastRevision });
    const refused = this.refusal(stream, expected);
    if (refused) return refused;
    if (events.length === 0) {
      const revision = Math.max(state.lastRevision, 0);
      return outcome('written', { revision, position: this.store.records.at(-1)?.position ?? 0 });
    }
    const first = state.lastRevision + 1;
    const records = events.map((event, index) => recorded(stream, first + index, event));
    if (!state.isSoftDeleted) return this.write(records);
    const settings = settingsEvent(stream, this.nextRevision(metastreamOf(stream)), `{"$tb":${first}}`);
    return this.write([settings, ...records]);
  }

  /**
   * Returns the records of the events, up to the first event that is not in the stream yet. If `expected` is a
   * revision, only the records directly after that revision count. If `expected` is 'no_stream', only the records from
   * the stream's beginning count.
   */
  known(stream, expected, events) {
    const { records = [], byId = new Map() } = this.store.streams.get(stream) ?? {};
    const isAnywhere = expected === 'any' || expected === 'stream_exists';
    const next = expected === 'no_stream' ? 0 : expected + 1;
    const found = events.map(({ id }, index) =>
      isAnywhere ? byId.get(id) : records[next + index]?.id === id ? records[next + index] : undefined,
    );
    const unknown = found.indexOf(undefined);
    return unknown < 0 ? found : found.slice(0, unknown);
  }

  write(records) {
    this.log.append(records);
    return outcome('written', placeOf(records.at(-1)));
  }
}

const placeOf = ({ revision, position, end }) => ({ revision, position, end });
