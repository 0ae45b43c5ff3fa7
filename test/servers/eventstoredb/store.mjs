import { EventEmitter } from 'node:events';
import { Signal } from './signal.mjs';
import { countUpTo } from './sorted.mjs';

/**
 * The value of `$tb` (truncate before) in the metadata of a softly deleted stream: the highest signed 64-bit number.
 */
export const SOFT_DELETED = 9223372036854775807n;
const SOFT_DELETED_AS_NUMBER = Number(SOFT_DELETED);

export const metastreamOf = (stream) => `$$${stream}`;

const settingsIn = (metadataEvent) => {
  try {
    return JSON.parse(metadataEvent.data.toString()) ?? {};
  } catch {
    return {};
  }
};

/** Returns the number of leading records that are at least this many seconds old. */
const firstYoungerThan = (seconds, records) => {
  const expired = BigInt(Date.now() - seconds * 1_000) * 10_000n;
  return countUpTo(records, ({ created }) => BigInt(created) <= expired);
};

/**
 * Holds the log's events by stream. The store holds all appended records, but readers see only the records that end at
 * or before `committed`. Emits `committed` synchronously when that position moves.
 */
export class Store extends EventEmitter {
  records = [];
  streams = new Map();
  epochs = [];
  committed = 0;
  commits = new Signal();

  constructor() {
    super();
    this.setMaxListeners(0);
  }

  /** Adds the log's next record. */
  add(record) {
    if (record.epoch !== undefined) return this.epochs.push(record);
    this.records.push(record);
    const stream = this.streams.get(record.stream);
    if (stream) stream.records.push(record);
    else this.streams.set(record.stream, { records: [record], byId: new Map() });
    this.streams.get(record.stream).byId.set(record.id, record);
  }

  commit(position) {
    if (position <= this.committed) return;
    this.committed = position;
    this.commits.give();
    this.emit('committed');
  }

  /** Resolves when the log is committed up to the position. */
  async untilCommitted(position) {
    while (this.committed < position) await this.commits.next;
  }

  /** Returns how many of these records end at or before the position `horizon`. */
  visible(records = this.records, horizon = this.committed) {
    return countUpTo(records, (record) => record.end <= horizon);
  }

  /**
   * Returns a stream's state at the position `horizon`. Readers use `committed` as horizon. The decision about the next
   * append uses Infinity, since it must see all appended records.
   */
  stream(name, horizon = this.committed) {
    const records = this.streams.get(name)?.records ?? [];
    const count = this.visible(records, horizon);
    const isTombstoned = count > 0 && records[count - 1].isTombstone === true;
    const lastRevision = isTombstoned ? count - 2 : count - 1;
    const settings = this.settings(name, horizon);
    const isSoftDeleted = settings.$tb >= SOFT_DELETED_AS_NUMBER;
    const firstRevision = Math.max(
      settings.$tb ?? 0,
      settings.$maxCount === undefined ? 0 : lastRevision + 1 - settings.$maxCount,
      settings.$maxAge === undefined ? 0 : firstYoungerThan(settings.$maxAge, records.slice(0, lastRevision + 1)),
    );
    return { records, isTombstoned, isSoftDeleted, firstRevision, lastRevision };
  }

  settings(name, horizon) {
    const records = this.streams.get(metastreamOf(name))?.records ?? [];
    const count = this.visible(records, horizon);
    return count === 0 ? {} : settingsIn(records[count - 1]);
  }
}
