/** Streams that are ours; all-log reads and subscriptions return nothing else. */
export const OUR_STREAM_PREFIXES = ['consumerClient-', 'subscription-', 'endpointUri-', 'usage-'] as const;
/** What the log says of itself: its id, and whether it is sealed. */
export const LOG_STREAM = 'log';
export const OUR_STREAMS = ['signingKeys', LOG_STREAM] as const;

export const isOurStream = (stream: string): boolean =>
  (OUR_STREAMS as readonly string[]).includes(stream) ||
  OUR_STREAM_PREFIXES.some((prefix) => stream.startsWith(prefix));

/** Whether a log is sealed whose stream `log` ends with an event of this type. */
export const isSealedBy = (lastType: string | undefined): boolean => lastType === 'LogSealed';
