/** The part of gRPC's metadata (the headers of a call) that we use. */
interface Headers {
  set(name: string, value: string): void;
}

/** A filter of gRPC sees the headers and messages of a call. Each method returns what the next filter sees. */
interface CallFilter {
  sendMetadata(headers: Promise<Headers>): Promise<Headers>;
  receiveMetadata<T>(headers: T): T;
  sendMessage<T>(message: T): T;
  receiveMessage<T>(message: T): T;
  receiveTrailers<T>(status: T): T;
}

/** The part of a channel of `@grpc/grpc-js` that makes the filters of its calls. This part is private there. */
interface FilteredChannel {
  readonly internalChannel?: {
    readonly filterStackFactory?: { readonly factories?: { createFilter(): CallFilter }[] };
  };
}

const unchanged = <T>(value: T): T => value;

const announcesIdentity: CallFilter = {
  async sendMetadata(headers) {
    const changed = await headers;
    changed.set('grpc-accept-encoding', 'identity');
    return changed;
  },
  receiveMetadata: unchanged,
  sendMessage: unchanged,
  receiveMessage: unchanged,
  receiveTrailers: unchanged,
};

/**
 * Makes all later calls on the channel announce that they accept only uncompressed answers. KurrentDB 25.1 and later
 * compress their answers with gzip for every client that accepts gzip, which makes reads of whole streams five times
 * slower. gRPC's library always announces gzip and has no option against it. The filter must be the last one, because
 * the library's own filter sets the header, too.
 */
export function refuseCompression(channel: object): void {
  const { internalChannel } = channel as FilteredChannel;
  internalChannel?.filterStackFactory?.factories?.push({ createFilter: () => announcesIdentity });
}
