/**
 * Bytes that the server may send on one call, and on one connection, before it waits for word that they have arrived
 * (HTTP/2 flow control, RFC 9113 §5.2). A connection delivers at most this many bytes in a round trip: with 1 MiB,
 * 50 MB/s at a distance of 20 ms. HTTP/2's default of 64 KiB is 3 MB/s, which made long reads eight times slower there.
 * A subscriber that stops reading holds at most this much in memory.
 */
const WINDOW_BYTES = 1024 * 1024;

/** The part of a channel of `@grpc/grpc-js` that holds the options of its connections. This part is private there. */
interface ConfiguredChannel {
  readonly internalChannel?: { readonly options?: Record<string, unknown> };
}

/**
 * Lets the server send more ahead on the channel's later connections. The driver of EventStoreDB has no setting for it,
 * but the gRPC library below it has.
 */
export function widenWindow(channel: object): void {
  const { internalChannel } = channel as ConfiguredChannel;
  if (internalChannel?.options) internalChannel.options['grpc-node.flow_control_window'] = WINDOW_BYTES;
}
