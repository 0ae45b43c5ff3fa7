import { Buffer } from 'node:buffer';
import { clearTimeout, setTimeout } from 'node:timers';
import { ALL_STREAMS } from './access.mjs';
import {
  appendConflict,
  appended,
  batchAppended,
  batchConflict,
  batchDeleted,
  batchRefused,
  batchTimedOut,
  batchTooLarge,
  deletedError,
  eventTooLargeError,
  nameOf,
  removed,
  tooLargeError,
  wrongVersionError,
} from './answers.mjs';
import { code, StatusError } from './grpc.mjs';
import { streams } from './protocol.mjs';
import { readAll, readStream, subscribeToAll, subscribeToStream } from './reads.mjs';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SECOND_ANSWER_AFTER_MS = 2_000;

const proposed = (message) => {
  const metadata = message.getMetadataMap();
  const event = {
    id: message.getId().getString().toLowerCase(),
    type: metadata.get('type'),
    contentType: metadata.get('content-type'),
    data: Buffer.from(message.getData_asU8()),
    metadata: Buffer.from(message.getCustomMetadata_asU8()),
  };
  if (!UUID.test(event.id) || !event.type) throw new Error('An event without id or type');
  return event;
};

const revisionOf = (text) => {
  if (BigInt(text) > 2n ** 63n - 1n) throw new StatusError(code.internal, 'Failed to deserialize request.');
  return Number(text);
};

const expectedOf = (options, revision) => {
  if (options.hasAny()) return 'any';
  if (options.hasNoStream()) return 'no_stream';
  if (options.hasStreamExists?.()) return 'stream_exists';
  return revisionOf(revision);
};

const streamOf = (options) => {
  const stream = nameOf(options.getStreamIdentifier());
  if (stream === '') throw new Error('A stream without a name');
  return stream;
};

/** Returns the handlers of the gRPC service Streams for a node. `access` decides who may call them. */
export const streamsService = (node, access) => {
  const { maxAppendBytes, maxEventBytes, countsAll } = node.settings;
  const sizeOf = ({ type, data, metadata }) => data.length + (countsAll ? metadata.length + 2 * type.length : 0);
  const isTooLarge = (events) => events.reduce((sum, event) => sum + sizeOf(event), 0) > maxAppendBytes;

  const append = async (call) => {
    node.admit(call);
    let options;
    const events = [];
    for await (const request of call.requests()) {
      if (request.hasOptions()) options = request.getOptions();
      else events.push(proposed(request.getProposedMessage()));
    }
    const stream = streamOf(options);
    access.require(call, '$w', stream);
    const expected = expectedOf(options, options.getRevision());
    if (isTooLarge(events)) throw tooLargeError(maxAppendBytes);
    const tooLarge = events.find((event) => sizeOf(event) > maxEventBytes);
    if (tooLarge) throw eventTooLargeError(tooLarge.id, sizeOf(tooLarge), maxEventBytes);
    const outcome = await node.append(stream, expected, events, () => !call.isOpen);
    if (outcome.kind === 'deleted') throw deletedError(stream);
    if (outcome.kind === 'conflict') return call.send(appendConflict(expected, outcome.actual));
    return call.send(appended(outcome));
  };

  /**
   * Carries out one append of the batch path (one gRPC call for many appends) and sends the response. The error
   * messages in refusals are those of the real server on the batch path.
   */
  const appendOfBatch = async (call, { correlationId, options, messages }) => {
    const stream = nameOf(options.getStreamIdentifier());
    const refuse = (message) => call.send(batchRefused(correlationId, stream, message));
    let events, expected;
    try {
      expected = expectedOf(options, options.getStreamPosition());
      streamOf(options);
    } catch {
      return refuse('BadRequest');
    }
    try {
      events = messages.map(proposed);
    } catch {
      await refuse('BadRequest');
      setTimeout(() => void call.send(batchTimedOut(correlationId, stream)), SECOND_ANSWER_AFTER_MS).unref();
      return;
    }
    try {
      access.require(call, '$w', stream);
    } catch (error) {
      return refuse(error.message);
    }
    if (isTooLarge(events)) return call.send(batchTooLarge(correlationId, stream, maxAppendBytes));
    if (!node.isReady) return refuse('Server Is Not Ready');
    const deadline = options.getDeadline().toDate().getTime();
    let isTimedOut = false;
    const timeOut = () => {
      isTimedOut = true;
      void call.send(batchTimedOut(correlationId, stream));
    };
    if (deadline <= Date.now()) return timeOut();
    const timer = setTimeout(timeOut, deadline - Date.now());
    const isGivenUp = () => !call.isOpen || deadline <= Date.now();
    const outcome = await node.append(stream, expected, events, isGivenUp).catch(() => undefined);
    clearTimeout(timer);
    if (isTimedOut) return;
    if (!outcome) return deadline <= Date.now() ? timeOut() : refuse('Server Is Not Ready');
    if (outcome.kind === 'deleted') return call.send(batchDeleted(correlationId, stream));
    if (outcome.kind === 'conflict') return call.send(batchConflict(correlationId, stream, expected, outcome.actual));
    return call.send(batchAppended(correlationId, stream, outcome));
  };

  const batchAppend = async (call) => {
    if (node.isReady) node.admit(call);
    const open = new Map();
    for await (const request of call.requests()) {
      const correlationId = request.getCorrelationId();
      const key = correlationId.getString();
      const batch = open.get(key) ?? { correlationId, options: request.getOptions(), messages: [] };
      batch.messages.push(...request.getProposedMessagesList());
      open.set(key, batch);
      if (!request.getIsFinal()) continue;
      open.delete(key);
      void appendOfBatch(call, batch);
    }
  };

  const read = async (call) => {
    node.admit(call);
    const options = (await call.request()).getOptions();
    const { store, settings } = node;
    if (options.hasStream() && !options.hasSubscription()) node.streamReads += 1;
    access.require(call, '$r', options.hasStream() ? nameOf(options.getStream().getStreamIdentifier()) : ALL_STREAMS);
    if (!options.hasSubscription()) return (options.hasStream() ? readStream : readAll)(call, store, options, settings);
    return (options.hasStream() ? subscribeToStream : subscribeToAll)(call, store, options, settings);
  };

  /**
   * Returns the handler of a deletion. `how` is 'deleteSoftly' (the stream can be used again) or 'tombstone' (the
   * stream is deleted for ever).
   */
  const remove = (how, answerType) => async (call) => {
    node.admit(call);
    const options = (await call.request()).getOptions();
    const stream = streamOf(options);
    access.require(call, '$d', stream);
    const expected = expectedOf(options, options.getRevision());
    const outcome = await node[how](stream, expected, () => !call.isOpen);
    if (outcome.kind === 'deleted') throw deletedError(stream);
    if (outcome.kind === 'conflict') throw wrongVersionError(stream, expected, outcome.actual);
    return call.send(removed(answerType, outcome));
  };

  return {
    append,
    batchAppend,
    read,
    delete: remove('deleteSoftly', streams.DeleteResp),
    tombstone: remove('tombstone', streams.TombstoneResp),
  };
};
