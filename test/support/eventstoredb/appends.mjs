import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers';
import { SOFT_DELETED, metastreamOf } from './store.mjs';

/** 100-nanosecond steps since 1970, which is how the server tells time. */
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

/** What came of an append: `written`, `known` (was there before), `conflict` or `deleted`. */
const outcome = (kind, facts) => ({ kind, ...facts });

/** Decides appends one after the other, by the log's end, and writes them. */
export class Appends {
  waiting = [];

  constructor(log, store) {
    this.log = log;
    this.store = store;
  }

  /**
   * Resolves with the outcome when it is committed; with undefined when it was given up before its turn.
   * `expected`: 'any', 'no_stream', 'stream_exists' or a revision.
   */
  async append(stream, expected, events, isGivenUp) {
    return this.inTurn(isGivenUp, () => this.decide(stream, expected, events));
  }

  /** Hides the stream's events; a later append goes on with its numbers. */
  async deleteSoftly(stream, expected, isGivenUp) {
    return this.inTurn(isGivenUp, () => {
      const refused = this.refusal(stream, expected);
      if (refused) return refused;
      return this.write([settingsEvent(stream, this.nextRevision(metastreamOf(stream)), `{"$tb":${SOFT_DELETED}}`)]);
    });
  }

  /** Ends the stream for ever. */
  async tombstone(stream, expected, isGivenUp) {
    return this.inTurn(isGivenUp, () => {
      const refused = this.refusal(stream, expected);
      if (refused) return refused;
      const event = { id: randomUUID(), type: '$streamDeleted', contentType: 'application/octet-stream' };
      const bytes = { data: Buffer.alloc(0), metadata: Buffer.alloc(0) };
      return this.write([
        { ...recorded(stream, this.nextRevision(stream), { ...event, ...bytes }), isTombstone: true },
      ]);
    });
  }

  /** Writes what a new server has in its log before anyone appends to it. */
  describeServer() {
    const stream = '$stats-127.0.0.1:2113';
    const statistics = { id: randomUUID(), type: '$statsCollected', contentType: 'application/json' };
    const bytes = { data: Buffer.from('{"es-queue-count":0}'), metadata: Buffer.alloc(0) };
    this.log.append([settingsEvent(stream, 0, '{"$maxAge":86400}'), recorded(stream, 0, { ...statistics, ...bytes })]);
  }

  /** Turns come once the sockets were read, so that a call which its caller gave up meanwhile isn't written. */
  async inTurn(isGivenUp, decide) {
    const decided = await new Promise((resolve) => {
      if (this.waiting.length === 0) setImmediate(() => this.takeTurns());
      this.waiting.push(() => resolve(isGivenUp() ? undefined : decide()));
    });
    if (decided?.end !== undefined) await this.store.untilCommitted(decided.end);
    return decided;
  }

  takeTurns() {
    const turns = this.waiting;
    this.waiting = [];
    for (const turn of turns) turn();
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

  /** Those of the first events that are in the stream: after the expected revision, where one was named. */
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
