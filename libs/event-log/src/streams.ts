/**
 * The prefixes of this application's streams. `OUR_STREAMS` names its streams that have no such prefix. Reads of the
 * whole log, and subscriptions, return only events of this application's streams.
 */
export const OUR_STREAM_PREFIXES = [
  'consumerClient-',
  'subscription-',
  'endpointUri-',
  'externalId-',
  'usage-',
] as const;
export type StreamPrefix = (typeof OUR_STREAM_PREFIXES)[number];
/** The name of the stream about the log itself. Its events tell the log's id, and whether the log is sealed. */
export const LOG_STREAM = 'log';
/** The name of the stream whose events tell which streams are quarantined. */
export const QUARANTINES_STREAM = 'quarantines';
/** The name of the stream whose events tell that an operator has adopted the log after a restore. */
export const ADOPTIONS_STREAM = 'logAdoptions';
/** The name of the stream whose events tell what operators did with tokens of the management API and with keys. */
export const OPERATOR_ACTS_STREAM = 'operatorActs';
/** The name of the stream of the signed heads of the tree over the log. */
export const TREE_HEADS_STREAM = 'treeHeads';
/** Every log begins with these streams. */
export const FIRST_STREAMS = ['signingKeys', LOG_STREAM] as const;
/**
 * The streams that earlier releases do not take for ours. No checkpoint names an event of theirs: during a rolling
 * upgrade, a process of an earlier release would not find such a checkpoint in the log, and would ask for a rebuild.
 *
 * The events of a stream that a release adds are leaves of the tree (see `isLeaf`), and the release before does not see
 * them. So that both number the leaves alike, such events MUST be refused while `EVENT_VERSIONS` is `previous`.
 */
const LATER_STREAMS = [QUARANTINES_STREAM, ADOPTIONS_STREAM, OPERATOR_ACTS_STREAM, TREE_HEADS_STREAM] as const;
export const OUR_STREAMS = [...FIRST_STREAMS, ...LATER_STREAMS] as const;

/** Whether a checkpoint may name an event of this stream. */
export const canHoldCheckpoint = (stream: string): boolean => !(LATER_STREAMS as readonly string[]).includes(stream);

export const isOurStream = (stream: string): boolean =>
  (OUR_STREAMS as readonly string[]).includes(stream) ||
  OUR_STREAM_PREFIXES.some((prefix) => stream.startsWith(prefix));

/** Whether the stream can be quarantined. Nothing works without the streams of `OUR_STREAMS`. */
export const isQuarantinable = (stream: string): boolean =>
  OUR_STREAM_PREFIXES.some((prefix) => stream.startsWith(prefix));

/** Whether the log is sealed. `lastType` is the type of the last event of stream `log`. */
export const isSealedBy = (lastType: string | undefined): boolean => lastType === 'LogSealed';
