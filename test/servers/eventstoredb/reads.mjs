import { randomUUID } from 'node:crypto';
import { caughtUp, checkpoint, confirmation, deletedError, nameOf, readEvent, streamNotFound } from './answers.mjs';
import { filterOf } from './filters.mjs';
import { code, StatusError } from './grpc.mjs';
import { Signal } from './signal.mjs';
import { countUpTo } from './sorted.mjs';

const PAGE = 32;
const BACKWARDS = 1;

const isAfter = (record, { commit, prepare }) =>
  record.position > commit || (record.position === commit && record.position > prepare);

/**
 * Whether a read may begin at this position. A read may begin at the position of a record, at the end of a record
 * (checkpoints name such positions), and past the log's end.
 */
const isPlace = (store, { commit }) => {
  if (commit >= store.committed) return true;
  const all = [store.records, store.epochs];
  return all.some((records) => records[countUpTo(records, ({ position }) => position < commit)]?.position === commit);
};

const positionOf = (position) => ({
  commit: Number(position.getCommitPosition()),
  prepare: Number(position.getPreparePosition()),
});

const countOf = (options) => {
  const count = Number(options.getCount());
  if (count <= 0) throw new Error('A read of nothing');
  return count;
};

/**
 * Sends the records from index `from` to index `to` (exclusive). If `to` is smaller than `from`, the records are sent
 * backwards.
 */
const sendRange = async (call, records, from, to) => {
  const step = from <= to ? 1 : -1;
  for (let index = from; index !== to && call.isOpen;) {
    const page = [];
    for (; index !== to && page.length < PAGE; index += step) page.push(readEvent(records[index]));
    await call.send(...page);
  }
};

/** Handles a `ReadReq` that reads one stream. */
export const readStream = async (call, store, options) => {
  const from = options.getStream();
  const name = nameOf(from.getStreamIdentifier());
  const count = countOf(options);
  const { records, isTombstoned, isSoftDeleted, firstRevision, lastRevision } = store.stream(name);
  if (isTombstoned) throw deletedError(name);
  if (lastRevision < 0 || isSoftDeleted) return call.send(streamNotFound(name));
  if (options.getReadDirection() === BACKWARDS) {
    const start = Math.min(
      from.hasStart() ? 0 : from.hasEnd() ? lastRevision : Number(from.getRevision()),
      lastRevision,
    );
    return sendRange(call, records, Math.max(start, firstRevision - 1), Math.max(start - count, firstRevision - 1));
  }
  const end = lastRevision + 1;
  const start = Math.max(from.hasStart() ? 0 : from.hasEnd() ? end : Number(from.getRevision()), firstRevision);
  return sendRange(call, records, Math.min(start, end), Math.min(start + count, end));
};

/**
 * Handles a `ReadReq` that reads all streams. A forward read includes the event at the position, a backward read
 * doesn't.
 */
export const readAll = async (call, store, options) => {
  const from = options.getAll();
  const count = countOf(options);
  const visible = store.visible();
  const place = from.hasPosition() ? positionOf(from.getPosition()) : undefined;
  if (place && !isPlace(store, place)) throw new StatusError(code.unknown, 'Unexpected ReadAllResult: Error');
  const before = place ? countUpTo(store.records, (record) => record.position < place.commit) : 0;
  const start = Math.min(from.hasEnd() ? visible : before, visible);
  if (options.getReadDirection() === BACKWARDS) {
    return sendRange(call, store.records, start - 1, Math.max(start - 1 - count, -1));
  }
  return sendRange(call, store.records, start, Math.min(start + count, visible));
};

/**
 * Runs a subscription. Sends the records from index `next` on, and then each new record. A subscriber that has once
 * reached the log's end is cut off when more than `liveBuffer` records wait for it. With `fallsBack`, it is never cut
 * off, and is told that it has caught up whenever it has been sent what was there.
 */
const follow = async (call, store, { records, next, select, filter, liveBuffer, fallsBack }) => {
  await call.send(confirmation(randomUUID()));
  let isLive = false;
  let isStuck = false;
  const cutIfTooSlow = () => {
    if (fallsBack || !isLive || !isStuck || store.visible(records()) - next <= liveBuffer) return;
    call.end(
      code.aborted,
      'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.',
    );
  };
  const news = new Signal();
  const listen = () => {
    cutIfTooSlow();
    news.give();
  };
  store.on('committed', listen);
  call.onClose(() => news.give());
  try {
    for (let searched = 0; call.isOpen;) {
      const visible = store.visible(records());
      const page = [];
      while (next < visible && page.length < PAGE) {
        const record = records()[next++];
        const isSelected = select(record);
        if (isSelected) page.push(readEvent(record));
        if (!filter || ++searched < filter.checkpointEvery) continue;
        searched = 0;
        const { position, end } = record;
        page.push(
          checkpoint(isSelected || isLive ? { commit: position, prepare: position } : { commit: end, prepare: 0 }),
        );
      }
      if (page.length > 0) {
        isStuck = true;
        if (fallsBack && isLive) page.push(caughtUp());
        await call.send(...page);
        isStuck = false;
      } else if (isLive) {
        await news.next;
      } else {
        isLive = true;
        await call.send(caughtUp());
      }
    }
  } finally {
    store.off('committed', listen);
  }
};

/** Subscribes to the events of a stream that come after a revision. */
export const subscribeToStream = (call, store, options, settings) => {
  const from = options.getStream();
  const name = nameOf(from.getStreamIdentifier());
  const { isTombstoned, firstRevision, lastRevision } = store.stream(name);
  if (isTombstoned) throw deletedError(name);
  const start = from.hasStart() ? 0 : from.hasEnd() ? lastRevision + 1 : Number(from.getRevision()) + 1;
  const records = () => store.streams.get(name)?.records ?? [];
  const next = Math.min(Math.max(start, firstRevision), lastRevision + 1);
  return follow(call, store, { records, next, select: ({ revision }) => revision >= start, ...settings });
};

/** Subscribes to the events of all streams that come after a position. */
export const subscribeToAll = (call, store, options, settings) => {
  const from = options.getAll();
  const filter = options.hasFilter() ? filterOf(options.getFilter()) : undefined;
  const place = from.hasPosition() ? positionOf(from.getPosition()) : { commit: -1, prepare: -1 };
  if (from.hasPosition() && !isPlace(store, place)) throw new Error('A position that no record has');
  const visible = store.visible();
  const next = from.hasEnd() ? visible : countUpTo(store.records, (record) => !isAfter(record, place));
  const select = (record) => isAfter(record, place) && (filter?.matches(record) ?? true);
  return follow(call, store, {
    records: () => store.records,
    next: Math.min(next, visible),
    select,
    filter,
    ...settings,
  });
};
