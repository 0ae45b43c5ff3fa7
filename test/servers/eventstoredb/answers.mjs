import { Buffer } from 'node:buffer';
import { code, StatusError } from './grpc.mjs';
import { Any, NoValue, RpcStatus, shared, streams } from './protocol.mjs';

const { Empty, StreamIdentifier, UUID } = shared;
const { AppendResp, BatchAppendResp, ReadResp } = streams;

/** The revision of the last event of a tombstoned (finally deleted) stream. */
const DELETED_REVISION = '9223372036854775807';

export const nameOf = (identifier) => Buffer.from(identifier.getStreamName_asU8()).toString();
const identifierOf = (name) => {
  const identifier = new StreamIdentifier();
  identifier.setStreamName(Buffer.from(name));
  return identifier;
};

const uuidOf = (text) => {
  const uuid = new UUID();
  uuid.setString(text);
  return uuid;
};

const at = (message, commit, prepare = commit) => {
  message.setCommitPosition(String(commit));
  message.setPreparePosition(String(prepare));
  return message;
};

/** Returns a protobuf message of `type` in which one field is set. */
const filled = (type, setter, value) => {
  const message = new type();
  message[setter](value);
  return message;
};

// Messages in responses to reads:

export const confirmation = (id) =>
  filled(ReadResp, 'setConfirmation', filled(ReadResp.SubscriptionConfirmation, 'setSubscriptionId', id));

export const caughtUp = () => filled(ReadResp, 'setCaughtUp', new ReadResp.CaughtUp());

export const checkpoint = ({ commit, prepare }) =>
  filled(ReadResp, 'setCheckpoint', at(new ReadResp.Checkpoint(), commit, prepare));

export const streamNotFound = (stream) =>
  filled(ReadResp, 'setStreamNotFound', filled(ReadResp.StreamNotFound, 'setStreamIdentifier', identifierOf(stream)));

export const readEvent = (record) => {
  const recorded = at(new ReadResp.ReadEvent.RecordedEvent(), record.position);
  recorded.setId(uuidOf(record.id));
  recorded.setStreamIdentifier(identifierOf(record.stream));
  recorded.setStreamRevision(record.isTombstone ? DELETED_REVISION : String(record.revision));
  const metadata = recorded.getMetadataMap();
  metadata.set('type', record.type);
  metadata.set('content-type', record.contentType);
  metadata.set('created', record.created);
  recorded.setCustomMetadata(record.metadata);
  recorded.setData(record.data);
  const event = filled(ReadResp.ReadEvent, 'setEvent', recorded);
  event.setCommitPosition(String(record.position));
  return filled(ReadResp, 'setEvent', event);
};

// Errors:

export const deletedError = (stream) =>
  new StatusError(code.failedPrecondition, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });

export const tooLargeError = (limit) =>
  new StatusError(code.invalidArgument, `Maximum Append Size of ${limit} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': limit,
  });

export const eventTooLargeError = (id, bytes, limit) =>
  new StatusError(
    code.invalidArgument,
    `Event with Id: ${id}, Size: ${bytes} exceeds Maximum Append Event Size of ${limit}.`,
    { exception: 'maximum-append-event-size-exceeded' },
  );

export const notLeaderError = ({ host, port }) =>
  new StatusError(code.notFound, 'Leader info available', {
    exception: 'not-leader',
    'leader-endpoint-host': host,
    'leader-endpoint-port': port,
  });

export const notReadyError = () => new StatusError(code.unavailable, 'Server Is Not Ready');

export const wrongVersionError = (stream, expected, actual) =>
  new StatusError(code.failedPrecondition, `Append failed due to WrongExpectedVersion. Stream: ${stream}`, {
    exception: 'wrong-expected-version',
    'stream-name': stream,
    'expected-version': { any: -2, stream_exists: -4, no_stream: -1 }[expected] ?? expected,
    ...(actual < 0 ? {} : { 'actual-version': actual }),
  });

// Messages in responses to appends and deletions:

export const appended = ({ revision, position }) => {
  const success = new AppendResp.Success();
  success.setCurrentRevision(String(revision));
  success.setPosition(at(new AppendResp.Position(), position));
  return filled(AppendResp, 'setSuccess', success);
};

export const appendConflict = (expected, actual) => {
  const conflict = new AppendResp.WrongExpectedVersion();
  if (actual < 0) conflict.setCurrentNoStream(new Empty());
  else conflict.setCurrentRevision(String(actual));
  if (expected === 'any') conflict.setExpectedAny(new Empty());
  else if (expected === 'stream_exists') conflict.setExpectedStreamExists(new Empty());
  else if (expected === 'no_stream') conflict.setExpectedNoStream(new Empty());
  else conflict.setExpectedRevision(String(expected));
  return filled(AppendResp, 'setWrongExpectedVersion', conflict);
};

/** Returns the response to a deletion. `type` is `DeleteResp` or `TombstoneResp`. */
export const removed = (type, { position }) => filled(type, 'setPosition', at(new type.Position(), position));

const batchAnswer = (correlationId, stream) => {
  const answer = new BatchAppendResp();
  answer.setCorrelationId(correlationId);
  answer.setStreamIdentifier(identifierOf(stream));
  return answer;
};

export const batchAppended = (correlationId, stream, { revision, position }) => {
  const success = new BatchAppendResp.Success();
  success.setCurrentRevision(String(revision));
  success.setPosition(at(new shared.AllStreamPosition(), position));
  const answer = batchAnswer(correlationId, stream);
  answer.setSuccess(success);
  return answer;
};

/**
 * Returns the refusal of an append on the batch path (one gRPC call for many appends). The client makes its typed error
 * from `details`, a protobuf message. By default, `details` is empty, and the client throws a general error.
 */
export const batchRefused = (
  correlationId,
  stream,
  message,
  details = new NoValue(),
  type = 'google.protobuf.Empty',
) => {
  const packed = new Any();
  packed.pack(details.serializeBinary(), type);
  const status = new RpcStatus();
  status.setCode(code.unknown);
  status.setMessage(message);
  status.setDetails(packed);
  const answer = batchAnswer(correlationId, stream);
  answer.setError(status);
  return answer;
};

export const batchConflict = (correlationId, stream, expected, actual) => {
  const conflict = new shared.WrongExpectedVersion();
  if (actual < 0) conflict.setCurrentNoStream(new NoValue());
  else conflict.setCurrentStreamRevision(String(actual));
  if (expected === 'any') conflict.setExpectedAny(new NoValue());
  else if (expected === 'stream_exists') conflict.setExpectedStreamExists(new NoValue());
  else if (expected === 'no_stream') conflict.setExpectedNoStream(new NoValue());
  else conflict.setExpectedStreamPosition(String(expected));
  const type = 'event_store.client.WrongExpectedVersion';
  return batchRefused(correlationId, stream, 'WrongExpectedVersion', conflict, type);
};

export const batchDeleted = (correlationId, stream) => {
  const details = filled(shared.StreamDeleted, 'setStreamIdentifier', identifierOf(stream));
  return batchRefused(correlationId, stream, 'StreamDeleted', details, 'event_store.client.StreamDeleted');
};

export const batchTooLarge = (correlationId, stream, limit) => {
  const details = filled(shared.MaximumAppendSizeExceeded, 'setMaxappendsize', limit);
  const type = 'event_store.client.MaximumAppendSizeExceeded';
  return batchRefused(correlationId, stream, 'MaximumAppendSizeExceeded', details, type);
};

export const batchTimedOut = (correlationId, stream) =>
  batchRefused(correlationId, stream, 'Timeout', new shared.Timeout(), 'event_store.client.Timeout');
