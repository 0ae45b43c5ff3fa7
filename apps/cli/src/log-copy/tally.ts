import type { ChainLink, RecordedEvent } from '#events';

interface StreamTally {
  readonly count: number;
  readonly last: ChainLink;
}

/** Holds the number of events, the last revision and the last hash of each stream of a log. */
export class Tally {
  private readonly streams = new Map<string, StreamTally>();
  private total = 0;

  get eventCount(): number {
    return this.total;
  }

  get streamCount(): number {
    return this.streams.size;
  }

  add({ stream, revision, metadata: { hash } }: RecordedEvent): void {
    this.total += 1;
    this.streams.set(stream, { count: (this.streams.get(stream)?.count ?? 0) + 1, last: { revision, hash } });
  }

  lastOf(stream: string): ChainLink | undefined {
    return this.streams.get(stream)?.last;
  }

  /** Returns the names of the streams that differ between the two tallies. */
  differencesFrom(other: Tally): string[] {
    const names = new Set([...this.streams.keys(), ...other.streams.keys()]);
    return [...names].filter((name) => !isSame(this.streams.get(name), other.streams.get(name)));
  }
}

const isSame = (a: StreamTally | undefined, b: StreamTally | undefined): boolean =>
  a?.count === b?.count && a?.last.revision === b?.last.revision && a?.last.hash === b?.last.hash;
