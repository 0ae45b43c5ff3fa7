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

const readAllError = (result) => new StatusError(code.unknown, `Unexpected ReadAllResult: ${result}`);

/**
 * Handles a `ReadReq` that reads all streams. A forward read includes the event at the position, a backward read
 * doesn't.
 */
export const readAll = async (call, store, options, { isSince }) => {
  const from = options.getAll();
  const count = countOf(options);
  const visible = store.visible();
  const place = from.hasPosition() ? positionOf(from.getPosition()) : undefined;
  const isBackwards = options.getReadDirection() === BACKWARDS;
  if (place && isBackwards && place.commit > store.committed) throw readAllError('Error');
  if (place && !isPlace(store, place)) throw readAllError(isSince(24, 10) ? 'InvalidPosition' : 'Error');
  const before = place ? countUpTo(store.records, (record) => record.position < place.commit) : 0;
  const start = Math.min(from.hasEnd() ? visible : before, visible);
  if (isBackwards) {
    return sendRange(call, store.records, start - 1, Math.max(start - 1 - count, -1));
  }
  return sendRange(call, store.records, start, Math.min(start + count, visible));
};

/**
 * Returns a function that is told of each searched record, and returns the place of the checkpoint that is due after the
 * record, if one is due. `at` is the record at which the search begins, if it was found before. Where nothing matches, a
 * checkpoint names the first record of the last window: the record itself on 24.10 and later, the place behind the next
 * record before.
 */
const checkpoints = ({ window, checkpointEvery }, at, { isSince }) => {
  let searched = 0;
  let [first, second] = [];
  const lastWindow = () => {
    if (isSince(24, 10)) return { commit: first.position, prepare: 0 };
    return { commit: (second ?? first).end, prepare: 0 };
  };
  const search = (record, isFound) => {
    if (searched % window === 0) [first, second] = [record];
    else if (searched % window === 1) second = record;
    searched += 1;
    if (searched % checkpointEvery !== 0) return undefined;
    return isFound ? { commit: record.position, prepare: record.position } : lastWindow();
  };
  if (at) search(at, false);
  return { search, lastWindow: () => first && lastWindow() };
};

/**
 * Runs a subscription. Sends the records from index `next` on, and then each new record. A subscriber that has once
 * reached the log's end is cut off when more than `liveBuffer` records wait for it. On 24.10 and later, it is never cut
 * off, and is told that it has caught up whenever it has been sent what was there. A subscriber to a missing stream is
 * told so only on these versions.
 */
const follow = async (call, store, { records, next, select, filter, at, settings }) => {
  const { liveBuffer, isSince } = settings;
  const fallsBack = isSince(24, 10);
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
  const progress = filter && checkpoints(filter, at, settings);
  store.on('committed', listen);
  call.onClose(() => news.give());
  try {
    while (call.isOpen) {
      const visible = store.visible(records());
      const page = [];
      while (next < visible && page.length < PAGE) {
        const record = records()[next++];
        const isSelected = select(record);
        if (isSelected) page.push(readEvent(record));
        const place = progress?.search(record, isSelected || isLive);
        if (place) page.push(checkpoint(place));
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
        const place = isSince(24, 10) ? progress?.lastWindow() : undefined;
        if (place) await call.send(checkpoint(place));
        if (isSince(24, 10) || records().length > 0) await call.send(caughtUp());
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
  return follow(call, store, { records, next, select: ({ revision }) => revision >= start, settings });
};

/**
 * Subscribes to the events of all streams that come after a position. If the position is beyond the log's end, versions
 * before 24.10 deliver everything that is appended from now on, and later ones nothing.
 */
export const subscribeToAll = (call, store, options, settings) => {
  const from = options.getAll();
  const filter = options.hasFilter() ? filterOf(options.getFilter()) : undefined;
  const place = from.hasPosition() ? positionOf(from.getPosition()) : { commit: -1, prepare: -1 };
  if (from.hasPosition() && !isPlace(store, place)) {
    if (!settings.isSince(24, 10)) throw new Error('A position that no record has');
    throw new StatusError(code.invalidArgument, 'Trying to read from an invalid position.');
  }
  const visible = store.visible();
  const isFromEnd = from.hasEnd() || (place.commit > store.committed && !settings.isSince(24, 10));
  const next = isFromEnd ? visible : countUpTo(store.records, (record) => !isAfter(record, place));
  const select = (record) => (isFromEnd || isAfter(record, place)) && (filter?.matches(record) ?? true);
  const before = store.records[next - 1];
  return follow(call, store, {
    records: () => store.records,
    next: Math.min(next, visible),
    select,
    filter,
    at: before?.position === place.commit ? before : undefined,
    settings,
  });
};
