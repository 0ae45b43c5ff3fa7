import { isOurStream, OUR_STREAM_PREFIXES, OUR_STREAMS } from '#event-log';

/** The prefixes of the streams that only this adapter knows: fences, and saved states of long streams. */
export const FENCES = 'fence-';
export const SNAPSHOTS = 'snapshot-';
export const SNAPSHOT_PARTS = 'snapshotParts-';

/** The metadata of a stream are in a stream with the same name after this. */
export const METADATA = '$$';

const PREFIX = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Each of our streams begins with one of these texts, or has one of the names in `OUR_STREAMS`. */
const BEGINNINGS = [...OUR_STREAM_PREFIXES, FENCES, SNAPSHOTS, SNAPSHOT_PARTS];

/** Thrown for a prefix that must not stand before the names of our streams. */
export class InvalidPrefix extends TypeError {
  override readonly name = 'InvalidPrefix';
}

/**
 * Translates the names of our streams. Several installations of this application, and other applications, may share a
 * server. So each installation has its own prefix, which stands before the name of each of its streams on the server.
 * Outside this adapter, nothing knows of the prefix.
 *
 * No stream on the server has a name that two installations read as their own, even if one prefix is the beginning of
 * the other, or is empty. For example, the installation without a prefix would read `usage-consumerClient-1` as its
 * stream of usage, so `usage-` is no prefix. `InvalidPrefix` says which prefixes are refused.
 */
export class StreamNames {
  /** Throws `InvalidPrefix`. */
  constructor(readonly prefix: string) {
    if (prefix === '') return;
    if (!PREFIX.test(prefix)) {
      throw new InvalidPrefix(
        'A prefix of stream names has at most 64 letters, digits, dots, underscores and hyphens, and begins with a ' +
          'letter or a digit',
      );
    }
    const beginning = BEGINNINGS.find((each) => prefix.includes(each));
    if (beginning !== undefined) {
      throw new InvalidPrefix(`A prefix of stream names can't contain ${beginning}, which begins names of our streams`);
    }
  }

  /** Returns the name that the stream has on the server. */
  stored(stream: string): string {
    return this.prefix + stream;
  }

  /** Returns the name, on the server, of the stream that holds the metadata of our stream. */
  storedMetadata(stream: string): string {
    return METADATA + this.stored(stream);
  }

  /** Returns the name of our stream that has this name on the server; `undefined` if the stream is not ours. */
  ours(stored: string): string | undefined {
    if (!stored.startsWith(this.prefix)) return undefined;
    const stream = stored.slice(this.prefix.length);
    return isOurStream(stream) ? stream : undefined;
  }

  /**
   * Returns a regular expression that matches the names, on the server, of our streams and of the streams in `others`.
   * The server filters subscriptions by it. A list of prefixes would also match streams of other applications, such as
   * `logistics` by the prefix `log`, and the server would send all their events.
   */
  pattern(...others: readonly string[]): string {
    const whole = [...OUR_STREAMS, ...others].map(literally).join('|');
    return `^${literally(this.prefix)}(?:${OUR_STREAM_PREFIXES.map(literally).join('|')}|(?:${whole})$)`;
  }

  /** Returns a regular expression that matches the names, on the server, of the streams with our streams' metadata. */
  metadataPattern(): string {
    return `^${literally(METADATA)}${this.pattern().slice(1)}`;
  }
}

/** Returns a regular expression, for JavaScript and for .NET, that matches exactly this text. */
const literally = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
